"""Doctor: settings with their origins, and the components of this machine."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import asdict, dataclass
from typing import Any

import click
from pydantic import SecretStr

from openmanus_graph._version import __version__
from openmanus_graph.checkpoints.database import open_checkpointer, redacted
from openmanus_graph.checkpoints.encryption.cipher import cipher_of
from openmanus_graph.cli.terminal import print_json, with_program
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import OpenManusGraphError, ToolError
from openmanus_graph.loading.plugins import installed_plugins
from openmanus_graph.models.overview import describe_models
from openmanus_graph.sandbox import choose_level, probe
from openmanus_graph.tools.browser.confinement import find_chromium, why_unavailable
from openmanus_graph.tools.web.engines import engines_of
from openmanus_graph.tools.web.sandbox_network import has_way_out, note_of


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    name: str
    ok: bool
    detail: str
    cure: str = ""


def doctor(as_json: bool) -> int:
    """Print each setting with where it came from, and probe what is there; exit 1 if the engine cannot run."""
    settings = Settings.load()
    values = [_setting(settings, name) for name in type(settings).model_fields]
    findings = [
        _python(),
        asyncio.run(_postgres(settings)),
        _encryption(settings),
        *_sandbox(settings),
        browser_finding(settings),
        _search(settings),
    ]
    models, plugins = _models(settings), _plugins()
    ready = all(finding.ok for finding in findings[:2])
    if as_json:
        facts = [asdict(finding) for finding in findings]
        found = {"settings": values, "models": models, "findings": facts, "plugins": plugins}
        print_json({"version": __version__, **found, "ready": ready})
        return 0 if ready else 1
    click.echo(click.style("Settings", bold=True))
    width = max(len(value["name"]) for value in values) + 1
    for value in values:
        click.echo(f"  {value['name']:<{width}}{value['value']}  ({value['from']})")
    click.echo(click.style("\nModels", bold=True))
    for line in _model_lines(models):
        click.echo(f"  {line}")
    click.echo(click.style("\nThis machine", bold=True))
    for finding in findings:
        mark = click.style("✓", fg="green") if finding.ok else click.style("✗", fg="yellow")
        click.echo(f"  {mark} {finding.name}: {finding.detail}")
        if finding.cure and not finding.ok:
            click.echo(f"      {with_program(finding.cure)}")
    if plugins:
        click.echo(click.style("\nPlug-ins", bold=True))
    for plugin in plugins:
        mark = click.style("✗", fg="yellow") if plugin["problem"] else click.style("✓", fg="green")
        facts = "; ".join(fact for fact in (plugin["distribution"], plugin["problem"]) if fact)
        click.echo(f"  {mark} {plugin['kind']} {plugin['name']}: {facts}")
    return 0 if ready else 1


def _setting(settings: Settings, name: str) -> dict[str, Any]:
    value: Any = getattr(settings, name)
    if name == "database_url":
        value = "not set: the embedded server" if value is None else redacted(value.get_secret_value())
    if isinstance(value, SecretStr):
        value = "set"
    shown = value if type(value) in (int, float, str, dict) else str(value)
    return {"name": name, "value": shown, "from": settings.origins[name]}


def _models(settings: Settings) -> list[dict[str, Any]]:
    """The model of each role and the name of the variable its key comes from, never the key."""
    return [asdict(role) for role in describe_models(settings)]


def _plugins() -> list[dict[str, Any]]:
    """Plug-ins of installed packages, and the errors of those that cannot be imported."""
    return [asdict(plugin) for plugin in installed_plugins()]


def _model_lines(models: list[dict[str, Any]]) -> list[str]:
    """Roles with the same model in one line, and a model's problem once."""
    if not any(model["model"] for model in models):
        return [
            "none: plans of direct tool calls run without one; the agent needs one, such as",
            "  LLM_MODEL=openai/gpt-5-mini OPENAI_API_KEY=…",
            "  LLM_MODEL=ollama_chat/qwen3   (a local server, no key)",
        ]
    groups: dict[tuple[Any, ...], list[str]] = {}
    for model in models:
        fields = tuple(model[key] for key in ("model", "server", "key", "key_is_set", "fallbacks", "problem"))
        groups.setdefault(fields, []).append(str(model["role"]))
    lines: list[str] = []
    for (name, server, key, key_is_set, fallbacks, problem), roles in groups.items():
        facts = [f"at {server}"] if server else []
        facts += ["no key needed"] if key is None else [f"key from {key}{'' if key_is_set else ', which is not set'}"]
        facts += [f"then {', '.join(fallbacks)}"] if fallbacks else []
        mark = click.style("✗", fg="yellow") if problem else click.style("✓", fg="green")
        lines.append(f"{mark} {', '.join(roles)}: {name or 'none'}  ({problem or '; '.join(facts)})")
    return lines


def _search(settings: Settings) -> Finding:
    try:
        names = [engine.name for engine in engines_of(settings, os.environ)]
    except ToolError as error:
        return Finding("Web search", False, error.message, error.hint or "")
    return Finding("Web search", bool(names), f"{', then '.join(names)} (not asked now)")


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("Python", sys.version_info >= (3, 11), version, "Install Python 3.11 or newer.")


async def _postgres(settings: Settings) -> Finding:
    try:
        async with open_checkpointer(settings=settings) as saver, saver.connection() as connection:
            row = await (await connection.execute("SELECT version() AS version")).fetchone()
            version = str(row["version"]).split(" on ")[0] if row else ""
            return Finding("Postgres", True, f"{version}, {saver.place}")
    except OpenManusGraphError as error:
        return Finding("Postgres", False, error.message, error.hint or "")


def _encryption(settings: Settings) -> Finding:
    try:
        cipher = cipher_of(settings)
    except OpenManusGraphError as error:
        return Finding("Encryption", False, error.message, error.hint or "")
    if cipher is None:
        return Finding("Encryption", True, "off: what threads store is plain in the database")
    memory = "what is remembered is plain, since memory is true" if settings.memory else "nothing is remembered"
    return Finding("Encryption", True, f"with the key {cipher.id}; {memory}")


def _sandbox(settings: Settings) -> list[Finding]:
    reports = probe(settings)
    found = [Finding(f"Sandbox {report.level}", report.works, report.detail) for report in reports]
    return [*found, network_finding(settings)]


def network_finding(settings: Settings) -> Finding:
    """What shell and Python tools reach of the network, and whether `sandbox_hosts` holds here."""
    name, hosts = "Sandbox network", ", ".join(settings.sandbox_hosts)
    asks = "; a person may be asked for others" if settings.sandbox_new_hosts == "ask" else ""
    try:
        level = choose_level(settings.sandbox, settings)
    except OpenManusGraphError:
        return Finding(name, not has_way_out(settings), "none: shell and Python tools are refused on this machine")
    note = note_of(settings, level)
    if note is not None:
        return Finding(name, False, note)
    if level == "none":
        return Finding(name, True, "yours: shell and Python tools are not confined")
    return Finding(
        name, True, f"{hosts}, by our proxy alone{asks}" if hosts else f"none: sandbox_hosts names no host{asks}"
    )


def browser_finding(settings: Settings) -> Finding:
    """Which Chromium `browser_use` works in, and how it is confined."""
    try:
        missing = why_unavailable(settings)
        if missing is not None:
            return Finding("Browser", False, f"browser_use is not offered. {missing}")
        found = find_chromium(settings)
    except OpenManusGraphError as error:
        return Finding("Browser", False, error.message, error.hint or "")
    return Finding("Browser", True, f"{found.program}; {found.confined}")
