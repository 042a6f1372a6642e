"""Settings: environment, `.env` and one TOML file, each value with the place it came from."""

from __future__ import annotations

import os
import pwd
import re
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import (
    AliasChoices,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from openmanus_graph import shell_commands
from openmanus_graph.config.sections import (
    BudgetSettings,
    CacheSettings,
    CredentialSettings,
    HostPattern,
    McpServerSettings,
    ModelSettings,
    OpenApiSettings,
    PolicyChoice,
)
from openmanus_graph.errors import SettingsError

SandboxChoice = Literal["auto", "bubblewrap", "landlock", "none"]
VectorIndexChoice = Literal["auto", "chroma", "pgvector", "none"]

CONFIG_VARIABLE = "OPENMANUS_GRAPH_CONFIG"
CONFIG_NAME = "openmanus-graph.toml"


def config_file() -> Path:
    """The one TOML file: `$OPENMANUS_GRAPH_CONFIG`, else `openmanus-graph.toml` in the current folder."""
    return Path(os.environ.get(CONFIG_VARIABLE) or CONFIG_NAME).expanduser().absolute()


def default_home() -> Path:
    """The data folder when none is set: below `/var/lib` for root, else the user's own data folder."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/openmanus-graph")
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "openmanus-graph"


def account_name() -> str:
    """The name of the account that runs the program; its number where it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"account-{os.geteuid()}"


class _TomlSource(TomlConfigSettingsSource):
    """The TOML file, which is no place for a key."""

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        if "encryption_key" in values:
            raise ValueError("encryption_key does not belong in it; name a file with encryption_key_file")
        return values


_NO_JSON = re.compile(r'error parsing value for field "(\w+)" from source "(?:DotEnv|Env)SettingsSource"')
"""What pydantic-settings says of a variable of the environment that is to be a list or a table."""


class Settings(BaseSettings):
    """What the user has set; explicit arguments win, then environment, `.env`, TOML, defaults."""

    model_config = SettingsConfigDict(
        env_prefix="OPENMANUS_GRAPH_",
        env_file=".env",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    home: Path = Field(default_factory=default_home)
    """Data folder: the embedded server's cluster, sockets and logs."""
    database_url: SecretStr | None = Field(default=None, validation_alias=AliasChoices("DATABASE_URL", "database_url"))
    """Postgres to use instead of the embedded server; `None` means embedded."""
    encryption_key: SecretStr | None = None
    """Keys that what threads store is encrypted with, separated by commas: the first one encrypts, each decrypts; never
    from the TOML file. `None` means `encryption_key_file`."""
    encryption_key_file: Path | None = None
    """File with such keys; `None` without `encryption_key` means that nothing is encrypted."""
    db_account: str = "nobody"
    """Account that the embedded server runs under when the program runs as root."""
    max_parallel: PositiveInt = 8
    """Subtasks of one dispatch that may run at the same time."""
    resources: dict[str, PositiveInt] = Field(default_factory=dict)
    """Limits per named resource, such as `{"browser": 2}`; a resource not named has none."""
    max_subtasks: PositiveInt = 1000
    """Subtasks a plan may have."""
    tools: tuple[str, ...] = ()
    """Your own tools, for every command: modules, files, and folders of files, relative to the TOML file's folder."""
    sandbox: SandboxChoice = "auto"
    """Confinement of shell and Python tools; `none` only by explicit choice."""
    sandbox_account: str = "nobody"
    """Account that confined tools run under when the program runs as root."""
    sandbox_hosts: tuple[HostPattern, ...] = ()
    """Hosts that shell and Python tools reach, by our proxy and at the level `bubblewrap` only: a name or an address,
    alone or with a port; `*.example.com` means every host below `example.com`. Empty means no network."""
    sandbox_new_hosts: Literal["refuse", "ask"] = "refuse"
    """Whether hosts that `sandbox_hosts` does not name are refused, or an agent may ask a person for them."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that `fetch_page`, `http_request`, the browser and what `sandbox_hosts` lets out may reach although their
    address is loopback, private or link-local."""
    chromium: Path | None = None
    """The Chromium of `browser_use`; `None` means the one of the system's package."""
    inline_output: PositiveInt = 20_000
    """Characters of a result (as JSON) kept in the checkpoint; larger ones go to a file in the workspace."""
    snapshot_bytes: NonNegativeInt = 10 * 2**20
    """Bytes up to which a file of the workspace is kept as each step left it, to go back to; 0 keeps none."""
    snapshot_total: PositiveInt = 200 * 2**20
    """Bytes of files that are kept for one thread."""
    snapshot_files: PositiveInt = 5000
    """Files of a workspace above which none are kept."""
    llm_model: str | None = Field(default=None, validation_alias=AliasChoices("LLM_MODEL", "llm_model"))
    """The model of every role that has none of its own, in LiteLLM's words, or `replay:FILE`."""
    llm_api_key: SecretStr | None = Field(default=None, validation_alias=AliasChoices("LLM_API_KEY", "llm_api_key"))
    """Its key; `None` means the provider's own variable."""
    llm_base_url: str | None = Field(default=None, validation_alias=AliasChoices("LLM_BASE_URL", "llm_base_url"))
    """Where it answers, for a local or compatible server."""
    models: dict[str, ModelSettings] = Field(default_factory=dict[str, ModelSettings])
    """Models by role, with `default` for the rest: `planner`, `executor`, `verifier`, `reporter`, `coordinator`, ..."""
    model_cache: CacheSettings = CacheSettings()
    """Cache of replies."""
    record: Path | None = None
    """File that model replies are recorded in."""
    budget: BudgetSettings = BudgetSettings()
    """What one request may use."""
    policy: PolicyChoice = None
    """Which calls of tools are made, asked about or refused."""
    review: Literal["always", "large", "never"] = "never"
    """Whether a person approves each plan, only those of more than `large_plan` subtasks, or none."""
    large_plan: PositiveInt = 10
    """Subtasks above which a plan counts as large."""
    max_replans: NonNegativeInt = 3
    """How often a request is planned again after failures."""
    max_plan_tries: PositiveInt = 3
    """How often the planner may correct an invalid plan before the run ends with its problems."""
    max_verifications: PositiveInt = 3
    """How often a subtask's outcome is checked: it goes back to its agent once fewer."""
    summarise_at: float = Field(default=0.6, gt=0, le=1)
    """Share of the model's window at which the older messages of an executor are summarised."""
    prompts: Path | None = None
    """Folder with one's own prompts, `<role>.md`; those it lacks are the built-in ones."""
    instructions: str = ""
    """More instructions for every role, such as the language of answers."""
    skills: tuple[Path, ...] = ()
    """Folders of skills, each with a `SKILL.md`; models follow what stands there: name those that you trust."""
    trusted_folders: tuple[Path, ...] = ()
    """Folders below which the `AGENTS.md` of a workspace is followed; elsewhere it is a file like any other."""
    owner: str = Field(default_factory=account_name, min_length=1, max_length=200)
    """Whose memory a thread uses, and whose it is; by default the account that runs the program."""
    vector_index: VectorIndexChoice = "auto"
    """Where passages are found by meaning: Chroma where it is installed, else pgvector, else by their words alone."""
    chroma_url: str | None = Field(default=None, validation_alias=AliasChoices("CHROMA_URL", "chroma_url"))
    """Where a Chroma server answers; `None` means a folder in the data folder."""
    chroma_headers: dict[str, str] = Field(default_factory=dict[str, str])
    """Header fields of every request to it: to each field the name of the environment variable that holds its value."""
    embedder: str | None = None
    """What makes vectors of passages where `[models.embedding]` names no model: `minilm`, `hashing` or a plug-in;
    `None` means MiniLM where it is installed, else hashing."""
    memory_store: str | None = None
    """Where past requests are remembered: the name of an installed plug-in; `None` means the checkpoint database."""
    memory: bool = True
    """Whether past requests and ways of doing tasks are remembered and recalled. They are stored as plain text; with an
    encryption key they are not, unless this is set, too."""
    neo4j_uri: str | None = Field(default=None, validation_alias=AliasChoices("NEO4J_URI", "neo4j_uri"))
    """Where a Neo4j server answers that keeps templates, such as `bolt://localhost:7687`; `None` means Postgres."""
    neo4j_username: str = Field(default="neo4j", validation_alias=AliasChoices("NEO4J_USERNAME", "neo4j_username"))
    """Its user."""
    neo4j_password: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("NEO4J_PASSWORD", "neo4j_password")
    )
    """The user's password; `None` means none."""
    search_engines: tuple[str, ...] = ()
    """Engines of `web_search`, in order; empty means those that are configured, those of plug-ins, then DuckDuckGo."""
    search_age_s: NonNegativeFloat = 3600
    """Seconds for which a thread uses again what its own earlier search found; 0 asks the engines each time."""
    searxng_url: str | None = None
    """Where a SearXNG server answers."""
    mcp_servers: dict[str, McpServerSettings] = Field(default_factory=dict[str, McpServerSettings])
    """MCP servers by name, whose tools are there as `mcp_NAME_TOOL`."""
    mcp_file: Path | None = None
    """A file with `mcpServers` as other programs have it; `mcp_servers` of the same name win."""
    openapi: dict[str, OpenApiSettings] = Field(default_factory=dict[str, OpenApiSettings])
    """Web services with an OpenAPI document by name, whose operations are there as tools."""
    credentials: dict[str, CredentialSettings] = Field(default_factory=dict[str, CredentialSettings])
    """Secrets that `http_request` and services of `openapi` send by name, each to its own hosts."""

    @property
    def encrypts(self) -> bool:
        """Whether an encryption key is set."""
        return self.encryption_key is not None or self.encryption_key_file is not None

    @model_validator(mode="before")
    @classmethod
    def _forget_by_default(cls, given: Any) -> Any:
        """With an encryption key, nothing is remembered in plain text unless that is asked for."""
        if isinstance(given, dict):
            values = cast("dict[str, Any]", given)
            if values.get("memory") is None and (values.get("encryption_key") or values.get("encryption_key_file")):
                return {**values, "memory": False}
        return cast("Any", given)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Add the TOML file behind the environment."""
        del file_secret_settings
        toml = _TomlSource(settings_cls, toml_file=config_file())
        return init_settings, env_settings, dotenv_settings, toml

    @classmethod
    def load(cls, **explicit: Any) -> Settings:
        """Read every source.

        Args:
            explicit: Values that win over all sources, such as command-line options.

        Raises:
            SettingsError: If a value does not fit, or the TOML file cannot be read.
        """
        try:
            return cls(**{key: value for key, value in explicit.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            why = first["msg"].removeprefix("Value error, ").lower()
            raise SettingsError(
                f"The setting {name!r} cannot be {first.get('input')!r}: {why}.",
                hint=f"See where each value comes from with: {shell_commands.DOCTOR}",
            ) from error
        except (OSError, ValueError) as error:
            if (found := _NO_JSON.search(str(error))) is not None:
                raise _no_json(found[1]) from error
            raise SettingsError(
                f"The settings cannot be read: {error}.", hint=f"Correct {str(config_file())!r} or unset it."
            ) from error

    @cached_property
    def origins(self) -> dict[str, str]:
        """Where each setting came from: `environment`, `.env`, the TOML file's path, or `default`."""
        cls = type(self)
        toml = config_file()
        places: list[tuple[str, PydanticBaseSettingsSource]] = []
        from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

        places.append(("environment", EnvSettingsSource(cls)))
        places.append((".env", DotEnvSettingsSource(cls)))
        places.append((str(toml), TomlConfigSettingsSource(cls, toml_file=toml)))
        found = {name: "default" for name in cls.model_fields}
        for place, source in reversed(places):
            for key in source():
                name = key.lower()
                if name in found:
                    found[name] = place
        return found


def _no_json(name: str) -> SettingsError:
    """The error for a variable that holds no JSON; what may be a key is not shown."""
    variable = f"{Settings.model_config.get('env_prefix')}{name.upper()}"
    value = os.environ.get(variable)
    what = "what it is" if value is None or "key" in name else repr(value)
    return SettingsError(
        f"The setting {name!r} cannot be {what}: {variable} is to hold JSON.",
        hint=f"""Write a list as {variable}='["a", "b"]', a table as {variable}='{{"a": "b"}}'.""",
    )
