"""Agent commands: run, resume, chat, step and demo."""

from __future__ import annotations

import click

from openmanus_graph.cli.commands.lazy import LazyCommand
from openmanus_graph.cli.commands.options import SANDBOXES, budgeting, deciding, forcing, remembering, running, viewing


@click.command("run", cls=LazyCommand, body="openmanus_graph.cli.run:run")
@click.argument("task", nargs=-1, metavar="[TASK]")
@click.option("--plan", "plan_file", metavar="FILE", help="Execute this plan, YAML or JSON, instead of a task.")
@click.option("--graph", "graph", metavar="REF", help="Your own graph: file.py:name, package.module:name, or a name.")
@click.option("--input", "given", metavar="JSON|@FILE", help="Input of your own graph, instead of a task.")
@click.option("--thread", metavar="ID", help="Name the thread, or go on with a conversation.")
@click.option(
    "--attach",
    multiple=True,
    metavar="FILE",
    help="Copy a file into the workspace; of FILE.pdf#page=N the page as a picture, too. May be repeated.",
)
@deciding
@budgeting
@running
@remembering
@forcing
@viewing
def run() -> None:
    """Ask the agent, or run a plan or a graph of your own.

    TASK is what you want, in words; `-` reads it from stdin. Ctrl-C pauses the run; even after kill -9, `resume` goes
    on where it was.
    """


@click.command("resume", cls=LazyCommand, body="openmanus_graph.cli.resume:resume")
@click.argument("thread", required=False)
@click.option("--last", is_flag=True, help="The thread that was touched last.")
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="VALUE|SUBTASK=VALUE|ID=VALUE",
    help="Answer a question; name it when several are open.",
)
@click.option("--plan", "plan_file", metavar="FILE", help="Go on with an edited plan; what is unchanged is kept.")
@click.option("--dry-run", is_flag=True, help="Only say what would be kept, run, repeated and asked.")
@click.option("--model", metavar="NAME", help="Another model for every role, from here on.")
@click.option("--record", type=click.Path(dir_okay=False), metavar="FILE", help="Keep the model's replies.")
@budgeting
@click.option("--max-parallel", type=click.IntRange(1), metavar="N", help="Subtasks at the same time.")
@forcing
@viewing
def resume() -> None:
    """Go on with a thread: after a crash, a pause, a failure, a budget, or with an answer.

    THREAD is an id or its beginning. An approval takes yes, no, "no: REASON", 'edit {"argument": ...}', which changes
    what it names, or "answer: VALUE"; the question whether a call happened takes happened, no, or "= RESULT".
    """


@click.command("chat", cls=LazyCommand, body="openmanus_graph.cli.chat:chat")
@click.option("--thread", metavar="ID", help="Go on with this conversation, or name a new one.")
@deciding
@budgeting
@running
@remembering
@forcing
@click.option("--quiet", "-q", is_flag=True, help="No progress, only the answers.")
def chat() -> None:
    """Talk with the agent: each line is a request in one conversation.

    Questions and approvals are asked in between. Lines of a pipe are requests too, or answers where it asks.
    """


@click.command("step", cls=LazyCommand, body="openmanus_graph.cli.step.session:step")
@click.argument("words", nargs=-1, metavar="[THREAD|TASK]")
@click.option("--plan", "plan_file", metavar="FILE", help="Step through this plan, YAML or JSON.")
@click.option("--graph", "graph", metavar="REF", help="Your own graph: file.py:name, package.module:name, or a name.")
@click.option("--input", "given", metavar="JSON|@FILE", help="Input of your own graph, instead of a task.")
@click.option("--thread", metavar="ID", help="Name the new thread.")
@deciding
@budgeting
@running
def step() -> None:
    """Go through a thread step by step: one node of one branch, breakpoints, edits, back in time.

    THREAD is an id or its beginning; several words are a TASK for the agent. At a terminal single keys are commands
    and `?` lists them; elsewhere stdin has a command a line. Nothing runs before the first step, and quitting leaves
    the thread where it stands.
    """


@click.command("demo", cls=LazyCommand, body="openmanus_graph.cli.demo.run:demo", starts_others=True)
@click.option("--crash", is_flag=True, help="Kill the run half-way with SIGKILL, and resume it.")
@click.option("--ask", is_flag=True, help="You approve the request for a quote; else the demo does.")
@click.option("--record", type=click.Path(dir_okay=False), metavar="FILE", help="Use your own model, keep its replies.")
@click.option("--sandbox", type=click.Choice(SANDBOXES), help="Confinement of Python tools.")
@click.option("--thread", metavar="ID", help="Name the thread, or go on with a demo that was stopped.")
@viewing
def demo() -> None:
    """See the agent work: no key, no network, some seconds.

    It compares three suppliers on a small site that is served on this machine, writes a report and requests a quote.
    Tools, checks, approval and Postgres are real; only the model's replies are recorded.
    """
