"""Policy: rules that allow a tool call, refuse it, or ask a person first.

Rules are a convenience above the sandbox, not a wall: they compare text with patterns, and a shell has many words
for the same thing. What a pattern sees is widened for rules that ask or refuse (spaces, `..`, the spelling of a
host), and narrowed for rules that allow: such a rule must fit every reading of an argument.
"""

from __future__ import annotations

import json
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import unquote, urlsplit

from langchain_core.tools import BaseTool
from pydantic import ValidationError

from openmanus_graph.config.sections import PolicyRule, PolicySettings, Verdict
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SettingsError
from openmanus_graph.tools.spec import Effect, effect_of, names_of, spec_of

_WORDS: tuple[str, ...] = get_args(Verdict)
_SPACES = re.compile(r"\s+")
_MORE = "A policy is 'allow', 'ask', 'deny', or the path of a TOML file with `default` and `[[rules]]`."


@dataclass(frozen=True)
class Decision:
    """The policy's verdict on one call."""

    verdict: Verdict
    """`allow`, `ask` or `deny`."""
    reason: str
    """Why, as a sentence for the person who is asked or the model that is refused."""
    rule: int | None = None
    """Which rule decided, from 1; `None` means the default."""
    built_in: bool = False
    """Whether it is the built-in default, and nothing that somebody has written."""

    def refusal(self, tool: str) -> str:
        """The sentence that a refused call of `tool` gets in place of a result."""
        return f"The policy refuses this call of {tool!r}: {self.reason}"


class Policy:
    """Rules tried in order, the first that fits decides, and a default for the rest."""

    def __init__(self, chosen: PolicySettings | None = None) -> None:
        """Take rules that are already validated; none at all means the built-in default."""
        self.chosen = chosen or PolicySettings()

    @classmethod
    def load(cls, given: Policy | PolicySettings | Mapping[str, Any] | str | None, settings: Settings) -> Policy:
        """Read a policy.

        Args:
            given: A policy, its table, `allow`, `ask`, `deny`, or the path of a TOML file; `None` takes the setting.
            settings: The user's settings.

        Raises:
            SettingsError: If it cannot be read; it names the rule and key, or the line.
        """
        chosen = settings.policy if given is None else given
        if isinstance(chosen, Policy):
            return chosen
        if chosen is None or isinstance(chosen, PolicySettings):
            return cls(chosen)
        if isinstance(chosen, str):
            word = chosen.strip().lower()
            if word in _WORDS:
                return cls(PolicySettings(default=cast("Verdict", word)))
            return cls(_from_file(chosen))
        return cls(_checked(dict(chosen), "The policy"))

    def plain(self) -> dict[str, Any]:
        """The policy in built-in types, for a thread's row; `load` takes it back."""
        return self.chosen.model_dump(mode="json")

    def decide(self, tool: BaseTool, args: Mapping[str, Any], *, workspace: Path | None = None) -> Decision:
        """Decide whether a call is allowed, asked about or refused.

        Args:
            tool: The tool.
            args: Its arguments, references resolved, before or after validation.
            workspace: The thread's folder; absolute paths below it are then read as relative ones too.

        Returns:
            The verdict with its reason.
        """
        effect = effect_of(tool, args)
        names = names_of(tool)
        for number, rule in enumerate(self.chosen.rules, start=1):
            if _fits(rule, names, effect, args, workspace):
                return Decision(rule.action, rule.reason or _said_by(rule, number), number)
        if self.chosen.default is not None:
            return Decision(self.chosen.default, f"no rule fits it, and the default is {self.chosen.default!r}.")
        if effect == "external":
            return Decision("ask", "it has an effect outside the workspace.", built_in=True)
        return Decision("allow", f"its effect is {effect!r}.", built_in=True)

    def always_denies(self, tool: BaseTool) -> bool:
        """Whether every call of a tool is refused, whatever its arguments."""
        spec, names = spec_of(tool), names_of(tool)
        return all(self._always_denies(names, effect) for effect in spec.effects)

    def _always_denies(self, names: tuple[str, ...], effect: Effect) -> bool:
        for rule in self.chosen.rules:
            if rule.effect not in (None, effect) or not any(fnmatchcase(name, rule.tool) for name in names):
                continue
            if rule.action != "deny":
                return False  # its arguments, if it names any, may let a call through
            if not rule.args:
                return True
        return self.chosen.default == "deny"


def _said_by(rule: PolicyRule, number: int) -> str:
    what = [rule.tool] if rule.tool != "*" else []
    what += [f"effect {rule.effect}"] if rule.effect else []
    what += [f"{name} = {pattern!r}" for name, pattern in rule.args.items()]
    return f"rule {number} says {rule.action!r}{' for ' + ', '.join(what) if what else ''}."


def _fits(
    rule: PolicyRule, names: tuple[str, ...], effect: Effect, args: Mapping[str, Any], workspace: Path | None
) -> bool:
    if not any(fnmatchcase(name, rule.tool) for name in names):
        return False
    if rule.effect is not None and rule.effect != effect:
        return False
    for name, pattern in rule.args.items():
        value = args.get(name)
        if value is None or not _argument_fits(value, pattern, workspace, strict=rule.action == "allow"):
            return False
    return True


def _argument_fits(value: Any, pattern: str, workspace: Path | None, *, strict: bool) -> bool:
    """Whether a pattern fits an argument.

    Args:
        value: Text, or anything that JSON holds.
        pattern: As in file names.
        workspace: The thread's folder, or `None`.
        strict: Every reading must fit (rules that allow), else any (rules that ask or refuse).
    """
    if isinstance(value, str):
        readings = list(dict.fromkeys(_readings(value, workspace)))
        return (all if strict else any)(fnmatchcase(part, pattern) for part in readings)
    whole = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    if fnmatchcase(whole, pattern):
        return True
    if isinstance(value, list) and value:
        items = cast("list[Any]", value)
        return (all if strict else any)(_argument_fits(part, pattern, workspace, strict=strict) for part in items)
    return False


def _readings(text: str, workspace: Path | None) -> Iterator[str]:
    """The readings of a text: itself, with single spaces, and as a path or an address in its plain form."""
    yield text
    spaced = _SPACES.sub(" ", text).strip()
    yield spaced
    if " " in spaced or "/" not in spaced:
        return
    if "://" in spaced:
        yield _plain_address(spaced)
        return
    path = posixpath.normpath(spaced)
    if workspace is not None and path.startswith(f"{workspace}/"):
        path = path.removeprefix(f"{workspace}/")
    yield path


def _plain_address(text: str) -> str:
    """An address with scheme and host in small letters, without password, usual port and `..`."""
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return text
    scheme = parts.scheme.lower()
    usual = {"http": 80, "https": 443}.get(scheme)
    where = host if port in (None, usual) else f"{host}:{port}"
    path = unquote(parts.path)
    folder = "/" if path.endswith(("/", "/.", "/..")) and path != "/" else ""
    path = posixpath.normpath(path).replace("//", "/").rstrip("/") + folder if path else ""
    return f"{scheme}://{where}{path or '/'}{'?' + parts.query if parts.query else ''}"


def _from_file(path: str) -> PolicySettings:
    try:
        read: dict[str, Any] = tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        text = f"The policy {path!r} is no policy, and no file that can be read: {error.strerror}."
        raise SettingsError(text, hint=_MORE) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The policy file {path!r} is not TOML: {error}.", hint=_MORE) from error
    inside = read.get("policy", read)
    if not isinstance(inside, dict):
        raise SettingsError(f"The policy file {path!r} has 'policy' as {inside!r}.", hint=_MORE)
    return _checked(cast("dict[str, Any]", inside), f"The policy file {path!r}")


def _checked(table: dict[str, Any], subject: str) -> PolicySettings:
    try:
        return PolicySettings.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        loc = list(first["loc"])
        where = ""
        if loc[:1] == ["rules"] and len(loc) > 1:
            where = f" in rule {int(loc[1]) + 1}"
            loc = loc[2:] or loc[:1]
        key = ".".join(str(part) for part in loc)
        what = "is unknown" if first["type"] == "extra_forbidden" else f"cannot be {first.get('input')!r}"
        if first["type"] == "missing":
            what = "is missing"
        raise SettingsError(f"{subject} has a problem{where}: {key!r} {what} ({first['msg']}).", hint=_MORE) from error
