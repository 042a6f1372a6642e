"""Search: memory search, in passages, past requests and templates."""

from __future__ import annotations

import asyncio
import shutil
import textwrap
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.cli.memory.opening import open_memory, warn
from openmanus_graph.cli.terminal import print_json
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import ago, clean, one_line
from openmanus_graph.errors import MemoryStoreError
from openmanus_graph.memory.episodic import EpisodeHit, PostgresEpisodes
from openmanus_graph.memory.plugins import episodic_store
from openmanus_graph.memory.procedural.ranking import searched
from openmanus_graph.memory.procedural.stores import template_store
from openmanus_graph.memory.procedural.template import KnownTemplate
from openmanus_graph.memory.semantic.passage import Hit

CATCH_UP_S = 2.0
"""How long a search first brings the index up to what others have added."""


@dataclass
class _Found:
    """What was found of each kind, best first."""

    passages: list[Hit] = field(default_factory=list[Hit])
    episodes: list[EpisodeHit] = field(default_factory=list[EpisodeHit])
    templates: list[KnownTemplate] = field(default_factory=list[KnownTemplate])
    warnings: list[str | None] = field(default_factory=list[str | None])

    def as_json(self) -> list[dict[str, Any]]:
        return [
            *({"kind": "passage", **hit.as_json()} for hit in self.passages),
            *({"kind": "episode", **hit.as_json()} for hit in self.episodes),
            *map(_template_as_json, self.templates),
        ]


def search(query: tuple[str, ...], kind: str, limit: int, owner: str | None, as_json: bool) -> None:
    """Find what is in memory of a matter, best first."""
    found = asyncio.run(_search(Settings.load(owner=owner), " ".join(query), kind, limit))
    for warning in found.warnings:
        warn(warning)
    if as_json:
        print_json(found.as_json())
        return
    if not (found.passages or found.episodes or found.templates):
        click.echo("Nothing is found.")
    for hit in found.passages:
        nearness = "" if hit.nearness is None else f", nearness {hit.nearness:.2f}"
        scores = f"score {hit.score:.2f}, words {hit.coverage:.2f}{nearness}"
        _tell(f"{hit.passage.key[:12]}  {hit.passage.source}", scores, hit.passage.text)
    for hit in found.episodes:
        score = [] if hit.score is None else [f"score {hit.score:.2f}"]
        when = [] if hit.at is None else [ago(hit.at)]
        head = f"{hit.episode['thread_id']}  request {hit.episode['request']}"
        _tell(head, ", ".join([*score, hit.episode["outcome"], *when]), hit.episode["task"])
    for known in found.templates:
        worked = f"score {known.likeness:.2f}, worked {known.worked} of {known.runs}"
        used = f", last used {ago(_moment(known.used_at))}" if known.used_at else ""
        _tell(f"{known.template.key}  template", worked + used, known.template.task)


def _tell(head: str, facts: str, text: str) -> None:
    click.echo(f"{click.style(clean(head), bold=True)}  ({facts})")
    columns = shutil.get_terminal_size((100, 24)).columns
    click.echo(textwrap.fill(one_line(text, 200), columns, initial_indent="    ", subsequent_indent="    "))


def _moment(unix: float) -> datetime:
    return datetime.fromtimestamp(unix, UTC)


def _template_as_json(known: KnownTemplate) -> dict[str, Any]:
    return {
        "kind": "template",
        "key": known.template.key,
        "task": known.template.task,
        "runs": known.runs,
        "worked": known.worked,
        "score": round(known.likeness, 4),
        "used_at": None if known.used_at is None else _moment(known.used_at).isoformat(),
    }


async def _search(settings: Settings, query: str, kind: str, limit: int) -> _Found:
    found = _Found()
    async with open_memory(settings) as (memory, saver):
        if kind in ("passages", "all"):
            await memory.deliver(seconds=CATCH_UP_S)
            passages = await memory.search(query, limit=limit)
            found.passages = passages.hits
            found.warnings.append(passages.warning)
        if kind in ("episodes", "all"):
            found.episodes = await _episodes(settings, saver, query, limit)
        if kind in ("templates", "all"):
            try:
                known = await template_store(settings, saver, settings.owner).templates()
                found.templates = searched(query, known, limit)
            except MemoryStoreError as error:
                if kind != "all":
                    raise
                found.warnings.append(error.message)
    return found


async def _episodes(settings: Settings, saver: ThreadSaver, query: str, limit: int) -> list[EpisodeHit]:
    if settings.memory_store is not None:  # a plug-in's store finds what is like a task, and gives no score
        return [EpisodeHit(one) for one in await episodic_store(settings.memory_store).recall(query, limit=limit)]
    return await PostgresEpisodes(saver, settings.owner).search(query, limit=limit)
