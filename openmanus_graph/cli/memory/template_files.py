"""Template files: memory templates edit, export and import."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from pathlib import Path

import click

from openmanus_graph import shell_commands
from openmanus_graph.cli.memory.own_words import kept_if_refused, of_owner, read_given, typed_in_editor
from openmanus_graph.cli.memory.templates import find_template, template_json, with_templates
from openmanus_graph.cli.terminal import print_json, with_program
from openmanus_graph.display_text import one_line
from openmanus_graph.errors import UsageError
from openmanus_graph.files.new_file import new_file
from openmanus_graph.memory.procedural.template import KnownTemplate, Template, persons_word
from openmanus_graph.memory.procedural.template_file import corrected, file_plan, plan_in, same_content, template_in
from openmanus_graph.memory.protocols import TemplateMemory
from openmanus_graph.plan import Plan

SUFFIX = ".yaml"
"""How the name of a file that is edited ends."""


def export(key: str, file: Path, owner: str | None) -> None:
    """Write a template as a plan file."""
    known = asyncio.run(with_templates(owner, lambda store: find_template(store, key)))
    plan = file_plan(known.template)
    is_json = file.suffix.lower() == ".json"
    text = json.dumps(plan.to_dict(), indent=2, ensure_ascii=False) + "\n" if is_json else plan.to_yaml()
    with new_file(file) as stream:
        stream.write(text.encode("utf-8", "surrogatepass"))
    click.echo(f"Wrote {file}.", err=True)


def import_file(file: Path, owner: str | None, as_json: bool) -> None:
    """Make a template of a plan file, in place of the one of the same key."""
    template = template_in(Plan.from_file(file))

    async def keep(store: TemplateMemory) -> tuple[KnownTemplate | None, KnownTemplate]:
        earlier = await store.template(template.key)
        await store.remember(template, persons_word(template.key, time.time()), replaces=True)
        return earlier, await find_template(store, template.key)

    earlier, known = asyncio.run(with_templates(owner, keep))
    if earlier is not None:
        task = one_line(earlier.template.task)
        click.echo(f"Replaced the template {template.key} of the same steps, for the task: {task}", err=True)
    if as_json:
        print_json(template_json(known))
        return
    click.echo(with_program(f"Look at it with: openmanus-graph memory templates show {template.key}"))


# ---------------------------------------------------------------- edit


def edit(key: str, file: str | None, owner: str | None, as_json: bool) -> None:
    """Correct a template as a plan file."""
    given = None if file is None else read_given(file)
    source = "the input" if file == "-" else file

    async def correct(store: TemplateMemory) -> tuple[Template, KnownTemplate, KnownTemplate | None]:
        return await _edit(store, key, given, source or "what you wrote", owner)

    before, known, displaced = asyncio.run(with_templates(owner, correct))
    if as_json:
        print_json(template_json(known))
        return
    after = known.template
    if same_content(before, after):
        click.echo("Nothing was changed.", err=True)
        return
    click.echo(f"Edited {before.key}{_moved(before, after, displaced)}.", err=True)
    shown = shlex.join(["openmanus-graph", "memory", "templates", "show", after.key, *of_owner(owner)])
    click.echo(with_program(f"Look at it with: {shown}"))


def _moved(before: Template, after: Template, displaced: KnownTemplate | None) -> str:
    """What became of the key, in words."""
    if after.key == before.key:
        return ""
    task = "" if displaced is None else f", where it took the place of the one for: {one_line(displaced.template.task)}"
    return f", which has the key {after.key} now{task}"


async def _edit(
    store: TemplateMemory, key: str, given: str | None, source: str, owner: str | None
) -> tuple[Template, KnownTemplate, KnownTemplate | None]:
    """Put the corrected template in the place of the one with a key: that one, the new one, and whose place it took."""
    known = await find_template(store, key)
    before = known.template
    text = file_plan(before).to_yaml()
    typed = await typed_in_editor(text, SUFFIX) if given is None else None
    wanted = given if typed is None else typed
    if wanted is None or wanted.strip() == text.strip():
        return before, known, None
    again = ["memory", "templates", "edit", before.key, *of_owner(owner)]
    with kept_if_refused(typed, f"template-{before.key}", again, SUFFIX):
        made = corrected(before, plan_in(wanted, source))
        if same_content(made, corrected(before, file_plan(before))):
            return before, known, None
        displaced = await store.template(made.key) if made.key != before.key else None
        now = await store.template(before.key)
        if now is None or not same_content(now.template, before) or not await store.correct(before.key, made):
            raise UsageError(
                f"The template {before.key!r} has been changed or removed since you opened it.",
                hint=f"See what there is with: {shell_commands.MEMORY_TEMPLATES}",
            )
        return before, await find_template(store, made.key), displaced
