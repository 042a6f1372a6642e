"""Chat: a conversation with the agent at the prompt, in one thread."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from langgraph.types import Command

from openmanus_graph.budget import Spending
from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.progress import subtask_progress
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.thread_id import checked_thread, new_thread_id
from openmanus_graph.checkpoints.threads import Thread, get_thread
from openmanus_graph.cli.asking import AtTerminal, InLines, Person, ask_all
from openmanus_graph.cli.attachments import checked
from openmanus_graph.cli.execution import RunDisplay, RunOutcome, perform
from openmanus_graph.cli.lines import LONGEST_ERROR
from openmanus_graph.cli.options import RunOptions
from openmanus_graph.cli.report import WORDS, print_result
from openmanus_graph.cli.resume import next_input
from openmanus_graph.cli.run import agent_graph, handed, refuse_request
from openmanus_graph.cli.terminal import interactive, print_error, with_program
from openmanus_graph.config.sections import BudgetSettings
from openmanus_graph.display_text import one_line, usage_line, visible, work_line
from openmanus_graph.graphs.durable import DurableGraph

HELP = """\
Type what you want; the thread keeps what was said and done before.
  /status         how the last request went, and what it used
  /plan           the plan, with the state of each subtask
  /files          the files in the workspace
  /attach FILE    hand a file to the next request
  /resume         go on with what is paused, waits or failed
  /help           this
  /exit           leave; the conversation can be gone on with at any time
Ctrl-C pauses the request that runs and comes back to the prompt."""
MOST_FILES = 200
"""Files that `/files` lists."""


def chat(thread: str | None, **option_values: Any) -> int:
    """Talk with the agent: each line is a request in one conversation."""
    return asyncio.run(_chat(RunOptions(thread=checked_thread(thread) if thread else None, **option_values)))


async def _chat(options: RunOptions) -> int:
    agent_graph(options, None)  # a missing model is said before a database is started
    async with open_checkpointer(settings=options.effective_settings()) as saver:
        known = await get_thread(saver, options.thread) if options.thread else None
        if known is not None:
            refuse_request(known, None)
        talk = Talk(saver, options, known, options.thread)
        return await talk.go_on()


@dataclass
class Talk:
    """One conversation at the prompt."""

    saver: ThreadSaver
    options: RunOptions
    thread: Thread | None
    """The thread as it was last seen; `None` before the first request."""
    name: str | None
    """Its id; `None` before the first request if none was chosen."""
    code: int = 0
    """The exit code of the last request."""

    def __post_init__(self) -> None:
        self.files: list[str] = []
        self.person: Person = AtTerminal() if interactive() else InLines()
        self._interactive = interactive()

    async def go_on(self) -> int:
        """Take lines until there are no more; the exit code is the last request's."""
        if self._interactive:
            import_module("readline")  # line editing and history at the prompt
            signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio's own would not end a prompt
            self.person.say("Type what you want, /help for help, /exit to leave.")
        if self.thread is not None and not self.thread.finished:
            self.person.say(f"The thread {self.thread.thread_id} is {self.thread.status}: /resume goes on with it.")
        while (line := self._line()) is not None:
            entry = line.strip()
            if entry in ("/exit", "/quit"):
                break
            if entry:
                await self._guarded(entry)
        self._leave()
        return self.code

    def _line(self) -> str | None:
        if self._interactive:
            self.person.say("")
        return self.person.listen("you:")

    def _leave(self) -> None:
        if self.name is not None:
            self.person.say(with_program(f"Go on with this conversation: openmanus-graph chat --thread {self.name}"))

    async def _guarded(self, entry: str) -> None:
        """Execute a line; an error is printed, and the conversation goes on."""
        try:
            if entry.startswith("/"):
                await self._command(entry)
            else:
                await self._request(entry)
        except Exception as error:  # noqa: BLE001 - a conversation outlives one request's failure
            self.code = print_error(error)
        await self._look()

    async def _look(self) -> None:
        if self.name is not None:
            self.thread = await get_thread(self.saver, self.name)

    async def _command(self, entry: str) -> None:
        word, _, rest = entry.partition(" ")
        commands: dict[str, Callable[[], Awaitable[None]]] = {
            "/status": self._status,
            "/plan": self._plan,
            "/files": self._files,
            "/resume": self._resume,
        }
        if word in commands:
            await commands[word]()
        elif word == "/attach" and rest.strip():
            self._attach(rest.strip())
        else:
            self.person.say(HELP if word == "/help" else f"There is no command {word!r}.\n{HELP}")

    async def _request(self, task: str) -> None:
        if self.thread is not None and not self.thread.finished:
            self.person.say(f"The last request is {self.thread.status}: /resume goes on with it first.")
            return
        self.name = self.name or new_thread_id(task)
        files = await handed(self.files, self.name, self.thread, self.options)
        await self._perform({"task": task, "attachments": files}, task)
        self.files.clear()

    async def _resume(self) -> None:
        if self.thread is None or self.thread.status == "completed":
            self.person.say("Nothing is left to do.")
            return
        app = self._app()
        given: Any = await next_input(app, self.thread, (), None)
        if self.thread.status == "waiting":
            check = partial(app.check_answer, workspace=self.thread.workspace)
            answers = ask_all(self.thread.questions, self.person, check)
            if answers is None:
                return
            given = Command(resume=answers)
        await self._perform(given, self.thread.title, app)

    def _app(self) -> DurableGraph:
        return agent_graph(self.options, self.thread).compile(checkpointer=self.saver)

    async def _perform(self, given: Any, task: str, app: DurableGraph | None = None) -> None:
        ended = await perform(
            app or self._app(),
            given,
            thread_id=str(self.name),
            configurable={**self.options.stored_settings(self.thread), **self.options.configurable},
            showing=RunDisplay(quiet=self.options.quiet, task=task, person=self.person),
        )
        self.code = ended.exit_code
        self._report(ended)

    def _report(self, ended: RunOutcome) -> None:
        thread = ended.thread
        answer = ended.values.get("answer")
        if thread.finished and isinstance(answer, str) and answer:
            print_result(answer)
        for name, result in ended.results.items():
            if result["status"] == "failed" and name not in ended.told:
                self.person.say(f"{name} failed: {one_line(str(result['error']), LONGEST_ERROR)}")
        if thread.status != "completed":
            self.person.say(f"The request {WORDS.get(thread.status, thread.status)}; /resume goes on with it.")
        if ended.usage["calls"]:
            self.person.say(f"({usage_line(ended.usage)})")

    async def _status(self) -> None:
        if self.thread is None:
            self.person.say("Nothing was asked yet.")
            return

        spent = Spending(self.thread.thread_id, BudgetSettings(), self.saver)
        await spent.load()
        self.person.say(f"Thread {self.thread.thread_id}: {self.thread.status}; the last request used:")
        self.person.say(f"  {usage_line(spent.total)}")
        self.person.say(f"  workspace: {self.thread.workspace}")

    async def _plan(self) -> None:
        progress = [] if self.name is None else await subtask_progress(self.saver, self.name, live=False)
        if not progress:
            self.person.say("There is no plan.")
        for item in progress:
            result = item.result or {}
            checked = ", checked" if result.get("verified") else ""
            needs = f"  ← {', '.join(item.subtask.needs)}" if item.subtask.needs else ""
            work = work_line(item.subtask.goal, item.subtask.tool, item.subtask.args)
            self.person.say(f"  {item.subtask.id} ({item.status}{checked}): {work}{needs}")

    async def _files(self) -> None:
        folder = Path(self.thread.workspace) if self.thread is not None and self.thread.workspace else None
        lines = await asyncio.to_thread(_listing, folder) if folder is not None else []
        self.person.say("\n".join([f"{folder}:", *lines]) if lines else "There are no files.")

    def _attach(self, name: str) -> None:
        checked([*self.files, name])
        self.files.append(name)
        self.person.say(f"{name} goes with the next request.")


def _listing(folder: Any) -> list[str]:
    paths = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    shown = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    more = [f"  … and {len(shown) - MOST_FILES} more"] if len(shown) > MOST_FILES else []
    return [*(f"  {visible(str(path))}" for path in shown[:MOST_FILES]), *more]
