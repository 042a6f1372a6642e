"""Templates: memory templates list, show, run and delete."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.progress import results_so_far
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.thread_id import checked_thread, new_thread_id
from openmanus_graph.checkpoints.threads import get_thread
from openmanus_graph.cli.execution import execute
from openmanus_graph.cli.memory.opening import warn
from openmanus_graph.cli.options import RunOptions
from openmanus_graph.cli.picture import format_of, put_out
from openmanus_graph.cli.run import graph_of_plan
from openmanus_graph.cli.terminal import print_json, print_table
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import counted, duration, one_line
from openmanus_graph.drawing.plan import plan_mermaid, plan_svg, plan_text
from openmanus_graph.errors import MemoryStoreError, ThreadUnfinishedError, UsageError
from openmanus_graph.memory.procedural.filling import filled_plan, refers_back, values_in
from openmanus_graph.memory.procedural.lesson import Lesson, learn
from openmanus_graph.memory.procedural.outbox_templates import OutboxTemplates
from openmanus_graph.memory.procedural.outcome import blames_nobody, run_of
from openmanus_graph.memory.procedural.stores import template_store
from openmanus_graph.memory.procedural.template import KnownTemplate, Template
from openmanus_graph.memory.procedural.template_file import file_plan, missing_values
from openmanus_graph.memory.protocols import TemplateMemory
from openmanus_graph.plan import Plan
from openmanus_graph.tools.rebuild import available_tools
from openmanus_graph.tools.spec import code_arguments

ResultT = TypeVar("ResultT")


async def with_templates(owner: str | None, use: Callable[[TemplateMemory], Awaitable[ResultT]]) -> ResultT:
    """Use the store of an owner's templates, which is opened for it."""
    settings = Settings.load(owner=owner)
    async with open_checkpointer(settings=settings) as saver:
        return await use(template_store(settings, saver, settings.owner))


async def find_template(store: TemplateMemory, key: str) -> KnownTemplate:
    """The template with a key, or the one whose key begins so.

    Raises:
        UsageError: If there is none, or several.
    """
    found = await store.template(key)
    if found is None:
        raise UsageError(
            f"No template, or more than one, has a key that begins with {key!r}.",
            hint=f"See them with: {shell_commands.MEMORY_TEMPLATES}",
        )
    return found


# ---------------------------------------------------------------- list and show


def list_all(owner: str | None, as_json: bool) -> None:
    """List the templates."""
    known = asyncio.run(with_templates(owner, lambda store: store.templates()))
    if as_json:
        print_json([template_json(one) for one in known])
        return
    if not known:
        click.echo("No templates yet. They are learned from requests with three steps or more.")
        return
    rows = [
        [one.template.key, f"{one.worked}/{one.runs}", f"{one.rate:.0%}", _state(one), one_line(one.template.task)]
        for one in known
    ]
    print_table(["KEY", "WORKED", "RATE", "OFFERED", "TASK"], rows)


def _state(known: KnownTemplate) -> str:
    """Whether a template is offered, and whether a model is asked for its plan."""
    if not known.is_offered:
        return "no"
    return "as a plan" if known.is_sure else "yes"


def template_json(known: KnownTemplate) -> dict[str, Any]:
    """A template with its numbers as plain data, as `--json` prints it."""
    template = known.template
    return {
        "key": template.key,
        "task": template.task,
        "parameters": dict(template.parameters),
        "holes": list(template.holes),
        "runs": known.runs,
        "worked": known.worked,
        "tasks": known.tasks,
        "rate": round(known.rate, 4),
        "mean_s": round(known.mean_s, 3),
        "offered": known.is_offered,
        "without_a_model": known.is_sure,
        "steps": [
            {
                "id": step.id,
                "needs": list(step.needs),
                "runs": step.runs,
                "failures": step.failures,
                "mean_s": round(step.mean_s, 3),
                "spread_s": round(step.spread_s, 3),
                "definition": step.definition,
            }
            for step in template.steps
        ],
    }


def show(key: str, form: str | None, output: Path | None, owner: str | None, as_json: bool) -> None:
    """Show a template, or draw it."""
    known = asyncio.run(with_templates(owner, lambda store: find_template(store, key)))
    if as_json:
        print_json(template_json(known))
        return
    plan = file_plan(known.template)
    if form is not None or output is not None:
        draw = {"text": plan_text, "mermaid": plan_mermaid, "svg": plan_svg}[format_of(form, output)]
        put_out(draw(plan), output)
        return
    click.echo("\n".join(_facts(known)))
    click.echo("\n" + plan_text(plan).rstrip("\n"))


def _facts(known: KnownTemplate) -> list[str]:
    template = known.template
    lines = [
        f"{template.key}: {one_line(template.task, 2_000)}",
        f"  worked {known.worked} of {counted(known.runs, 'time')}, for {counted(known.tasks, 'task')}; "
        f"lately {known.rate:.0%}; {duration(known.mean_s)} on average",
        f"  offered: {_state(known)}",
    ]
    for name, kind in template.parameters.items():
        asked = "" if f"{{{{{name}}}}}" in template.task else ", which no task says"
        lines.append(f"  {name}: {kind}{asked}")
    lines += [f"  {place}: to be found on the way" for place in template.holes]
    failing = [step for step in template.steps if step.failures]
    lines += [f"  {step.id} failed {counted(step.failures, 'time')}" for step in failing]
    return lines


# ---------------------------------------------------------------- run


def run(key: str, task: tuple[str, ...], given: tuple[str, ...], thread: str | None, **option_values: Any) -> int:
    """Execute a template as a plan."""
    options = RunOptions(thread=checked_thread(thread) if thread else None, **option_values)
    return asyncio.run(_run(key, " ".join(task), given, options))


async def _run(key: str, task: str, given: tuple[str, ...], options: RunOptions) -> int:
    settings = options.effective_settings()
    async with open_checkpointer(settings=settings) as saver:
        store = template_store(settings, saver, settings.owner)
        template = (await find_template(store, key)).template
        code = code_arguments(available_tools(options.tools, settings))
        plan = _plan(template, task, given, code)
        # The run counts here, and for this template; an agent's graph would count it as well, for one of its own.
        graph = graph_of_plan(plan, replace(options, no_memory=True), settings)
        name = options.thread or new_thread_id(task or template.task)
        known = await get_thread(saver, name) if options.thread else None
        if known is not None:
            raise ThreadUnfinishedError(
                f"The thread {name!r} exists, and a template runs in one of its own.",
                hint="Leave --thread out, or name a new one.",
            )
        code = await execute(
            graph.compile(checkpointer=saver),
            {"plan": plan},
            thread_id=name,
            configurable={**options.stored_settings(None), **options.configurable},
            as_json=options.as_json,
            quiet=options.quiet,
            task=plan.goal,
        )
        await _count(store, saver, name, template, plan.goal)
        return code


def _plan(template: Template, task: str, given: tuple[str, ...], code: Mapping[str, str]) -> Plan:
    """The plan of a template with the values that a task and options say.

    Raises:
        UsageError: If one is missing, or cannot be put where it stands.
    """
    pairs = dict(_pair(one) for one in given)
    values = {name: value for name, value in pairs.items() if "." not in name}
    found = {name: value for name, value in pairs.items() if "." in name}
    if task:
        said = values_in(template, task)
        if said is None:
            raise UsageError(
                f"The task {one_line(task)!r} does not have the words of the template: {template.task}",
                hint="Say it in those words, or give each parameter with --set.",
            )
        if (value := refers_back(said)) is not None:
            raise UsageError(
                f"The value {value!r} means something that was said before, which a template does not know.",
                hint="Name it, or give the parameter with --set.",
            )
        values = {**said, **values}
    unknown = [name for name in pairs if name not in template.parameters and name not in template.holes]
    if unknown:
        known = [*template.parameters, *template.holes]
        raise UsageError(f"The template has no parameter {unknown[0]!r}.", hint=f"It has {', '.join(known) or 'none'}.")
    missing = missing_values(template, values, found)
    if missing:
        hint = f"Give it: {shell_commands.run_template(template.key, f'--set={missing[0]}=VALUE')}"
        raise UsageError(f"Nothing says {missing[0]!r} of the template {template.key!r}.", hint=hint)
    filled = filled_plan(template, values, found, code)
    if filled is None:
        raise UsageError(
            f"The values {values!r} cannot be put where they stand in the template {template.key!r}.",
            hint="Inside other text a value has no quotes or signs of a shell, in code no blanks; a number is one.",
        )
    return Plan.from_dict({**filled, "goal": task or str(filled.get("goal") or template.task)})


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise UsageError(f"{text!r} says no value.", hint="Give --set NAME=VALUE.")
    return name.strip(), value


async def _count(store: TemplateMemory, saver: ThreadSaver, name: str, template: Template, task: str) -> None:
    """Count the run for the template, if it has ended and says something of it."""
    thread = await get_thread(saver, name)
    if thread is None or not thread.finished:
        return
    results = await results_so_far(saver, name)
    has_succeeded = thread.status == "completed"
    if not has_succeeded and blames_nobody(results):
        return
    names = {step.id: step.id for step in template.steps}
    lesson = Lesson(run_of(name, 1, task, results, names, has_succeeded=has_succeeded), template.key)
    if not isinstance(store, OutboxTemplates):
        await learn(store, lesson)
        return
    try:
        await store.teach([lesson])
    except MemoryStoreError as error:
        warn(f"{error.message} The run waits, and counts once it answers.")


# ---------------------------------------------------------------- delete


def delete(key: str, yes: bool, owner: str | None) -> None:
    """Remove a template and all that is known of its runs."""

    async def remove(store: TemplateMemory) -> Template:
        template = (await find_template(store, key)).template
        if not yes:
            click.confirm(f"Remove the template {template.key} ({one_line(template.task)})?", abort=True, err=True)
        await store.forget(template.key)
        return template

    removed = asyncio.run(with_templates(owner, remove))
    click.echo(f"Removed {removed.key}.", err=True)
