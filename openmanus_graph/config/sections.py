"""Sections: the tables of the TOML file for models, their cache, budgets, policy and credentials."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

Verdict = Literal["allow", "ask", "deny"]

_HOST_AND_PORT = re.compile(r"(\[.*\]|[^:]*)(?::([0-9]{1,5}))?")
_HOST_NAME = re.compile(r"(\*\.)?([a-z0-9_-]+\.)*[a-z0-9_-]*[a-z][a-z0-9_-]*\.?")


def _host_pattern(given: str) -> str:
    """A host as lists of hosts have it, in small letters.

    Raises:
        ValueError: If it is no name, address or `*.NAME`, with or without a port.
    """
    text = given.strip().casefold()
    found = _HOST_AND_PORT.fullmatch(text)
    # An address of IPv6 without brackets has colons of its own.
    host, port = (text, None) if found is None else (found[1].removeprefix("[").removesuffix("]"), found[2])
    try:
        host = host.rstrip(".") if _HOST_NAME.fullmatch(host) else str(ipaddress.ip_address(host))
    except ValueError:
        raise ValueError("a host is a name or an address, or *.example.com, with or without a port") from None
    if port is None:
        return host
    if not 0 < int(port) < 2**16:
        raise ValueError("a port is a number from 1 to 65535")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


HostPattern = Annotated[str, AfterValidator(_host_pattern)]
"""A host: a name or an address, or `*.NAME` for every host below it; with or without `:PORT`."""


class Configuration(BaseModel):
    """Base of the tables of the TOML file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ModelSettings(Configuration):
    """One role's model, `[models.planner]` in the TOML file; what is not said comes from `[models.default]`."""

    model: str | None = None
    """LiteLLM's name, such as `openai/gpt-5-mini`, `ollama_chat/qwen3` or `hosted_vllm/my-model`; or `replay:FILE`."""
    base_url: str | None = None
    """Where the provider answers, for a local or compatible server."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; the key itself is never written in a file."""
    temperature: NonNegativeFloat | None = None
    """Sampling temperature; `None` leaves it to the provider."""
    max_tokens: PositiveInt | None = None
    """Tokens a reply may have; `None` leaves it to the provider."""
    timeout_s: PositiveFloat = 120.0
    """Seconds a call may take."""
    retries: NonNegativeInt = 3
    """How often a call is made again after a rate limit, a timeout or a broken connection."""
    fallbacks: tuple[str, ...] = ()
    """Models to try, in order, when this one fails for good; names as in `model`, or of other `[models.*]` tables."""
    requests_per_minute: PositiveInt | None = None
    """Calls a minute; `None` means no limit of ours."""
    tokens_per_minute: PositiveInt | None = None
    """Tokens a minute; `None` means no limit of ours."""
    keep_alive: str | None = None
    """How long Ollama keeps the model loaded after a call, such as `10m`; `0` unloads it at once."""
    window: PositiveInt | None = None
    """Tokens of context; `None` means what LiteLLM knows of the model."""
    input_usd_per_million: NonNegativeFloat | None = None
    """Price of a million prompt tokens; `None` means what LiteLLM knows."""
    output_usd_per_million: NonNegativeFloat | None = None
    """Price of a million reply tokens; `None` means what LiteLLM knows."""
    tool_calling: bool | None = None
    """Whether the model can call tools; `None` means that it is found out once."""
    images: bool | None = None
    """Whether the model sees images; `None` means what LiteLLM knows."""
    extra: dict[str, Any] = Field(default_factory=dict[str, Any])
    """More parameters of LiteLLM's `completion`, passed on as they are."""


class CacheSettings(Configuration):
    """Cache of replies, `[model_cache]`; off by default."""

    kind: Literal["off", "disk", "redis"] = "off"
    """LiteLLM's disk cache in the data folder, or a Redis server."""
    url_env: str | None = None
    """Name of the environment variable with the Redis URL."""
    ttl_s: PositiveInt | None = None
    """Seconds a reply stays; `None` means forever."""


class OwnerBudget(Configuration):
    """What all requests of an owner together may use in some days, `[budget.owner]`; `None` means no limit."""

    tokens: PositiveInt | None = None
    """Prompt and reply tokens together."""
    usd: PositiveFloat | None = None
    """US dollars, as far as prices are known."""
    model_calls: PositiveInt | None = None
    """Calls of models."""
    days: PositiveFloat = 30.0
    """The days, up to now, whose calls count."""

    @property
    def limits(self) -> bool:
        """Whether anything is limited."""
        return (self.tokens, self.usd, self.model_calls) != (None, None, None)


class BudgetSettings(Configuration):
    """What one request may use, resumes included, `[budget]`; `None` means no limit."""

    tokens: PositiveInt | None = None
    """Prompt and reply tokens together."""
    usd: PositiveFloat | None = None
    """US dollars, as far as prices are known."""
    wall_s: PositiveFloat | None = None
    """Seconds of running; time in which no process runs the thread does not count."""
    model_calls: PositiveInt | None = None
    """Calls of models."""
    steps: PositiveInt = 30
    """Model calls an executor may make for one subtask, and replies of the coordinator to one request."""
    owner: OwnerBudget = OwnerBudget()
    """What all requests of the thread's owner may use together."""


class PolicyRule(Configuration):
    """One rule, `[[policy.rules]]`: the first that fits decides."""

    tool: str = "*"
    """Tool name, `*` and `?` as in file names."""
    effect: Literal["read", "write", "external"] | None = None
    """Only tools of this effect."""
    args: dict[str, str] = Field(default_factory=dict[str, str])
    """Patterns by argument name, as in file names; all must fit. `*` alone means that the argument is given."""
    action: Verdict
    """What happens."""
    reason: str = ""
    """Why, shown to the person who is asked and to the model that is refused."""


class PolicySettings(Configuration):
    """Which calls of tools are made, asked about or refused, `[policy]`."""

    default: Verdict | None = None
    """For calls that no rule fits; `None` means: `ask` for external effects, `allow` for the rest."""
    rules: tuple[PolicyRule, ...] = ()
    """Tried in order."""


class CredentialSettings(Configuration):
    """A secret that requests name, `[credentials.NAME]` in the TOML file."""

    model_config = ConfigDict(populate_by_name=True)

    env: str
    """Name of the environment variable that holds the secret; the secret itself is never written in a file."""
    place: Literal["header", "query", "cookie"] = Field(default="header", alias="in")
    """Whether it goes into a header field, a query parameter or a cookie; `in` in the TOML file."""
    name: str | None = None
    """The query parameter or cookie it goes into, where `in` says so."""
    header: str = "Authorization"
    """The header field it goes into."""
    prefix: str = "Bearer "
    """What stands before it in the header field; after `Basic`, a secret `USER:PASSWORD` is encoded."""
    hosts: tuple[str, ...]
    """Hosts it is sent to, alone or with a port; `*.example.com` means every host below `example.com`."""


class McpServerSettings(Configuration):
    """An MCP server, `[mcp_servers.NAME]` in the TOML file; one of `command` and `url` is needed."""

    command: str | None = None
    """The program that is started."""
    args: tuple[str, ...] = ()
    """Its arguments."""
    env: dict[str, str] = Field(default_factory=dict[str, str])
    """Its environment besides `PATH`, `HOME`, `SHELL`, `TERM`; `${NAME}` stands for a variable of one's own."""
    cwd: Path | None = None
    """The folder that it runs in; `None` means the current one."""
    url: str | None = None
    """Where a server answers that runs already."""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    """Header fields of each request to it; `${NAME}` stands for a variable of one's own."""
    type: Literal["stdio", "http", "streamable-http", "sse"] | None = None
    """`sse` for servers of the older kind; else what `command` or `url` says."""
    tools: tuple[str, ...] = ()
    """The only tools of it that are taken; empty takes all."""
    offered: bool = False
    """Whether agents are offered its tools at once, and not only once they ask for them by name."""
    trust_annotations: bool = False
    """Whether the server is believed which of its tools only read; else every call counts as external."""
    sampling: bool = False
    """Whether the server may ask the executor's model while it makes a call, within the run's budget."""
    timeout_s: PositiveFloat = 120.0
    """Seconds that a call may take."""
    start_timeout_s: PositiveFloat = 15.0
    """Seconds in which it must have answered first."""
    disabled: bool = False
    """Whether it is left out."""


class OpenApiSettings(Configuration):
    """A web service with an OpenAPI document, `[openapi.NAME]` in the TOML file."""

    document: str
    """Its document: a file, relative to the TOML file's folder, an address, or the name of one that is shipped."""
    server: str | None = None
    """The address before all paths; `None` means the one that the document names."""
    credential: str | None = None
    """Name of the credential that is sent; `None` means none, whatever the document says."""
    operations: tuple[str, ...] = ()
    """The only operations that are taken, `*` and `?` as in file names; empty takes all."""
    reference_hosts: tuple[HostPattern, ...] = ()
    """Hosts besides the document's own that its references may lead to."""
    offered: bool = False
    """Whether agents are offered its tools at once, and not only once they ask for them by name."""
    timeout_s: PositiveFloat = 60.0
    """Seconds that a request may take."""
    most_pages: PositiveInt = 20
    """Pages of a list that one call asks for."""
    most_items: PositiveInt = 1_000
    """Items of a list that one call returns."""
    disabled: bool = False
    """Whether it is left out."""


PolicyChoice = Annotated[PolicySettings | str | None, Field(union_mode="left_to_right")]
"""A table of rules, or `allow`, `ask`, `deny`, or the path of a TOML file with one; `None` means the default."""
