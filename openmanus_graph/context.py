"""Context: what a tool call has at run time; never stored, since it holds open sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.errors import ToolError
from openmanus_graph.run_config import TOOL_CONTEXT


class Session(Protocol):
    """Something a tool keeps open between two calls of one subtask, such as a shell."""

    async def aclose(self) -> None:
        """End it; called once, when the subtask ends."""
        ...


class Searches(Protocol):
    """What search engines found for the thread, which its searches use again."""

    async def find(self, key: str, seconds: float) -> tuple[Any, float] | None:
        """What was found at most so many seconds ago, and how many ago."""
        ...

    async def keep(self, key: str, found: Any) -> None:
        """Keep what was found, in plain types."""
        ...


class Sealing(Protocol):
    """Encrypts files that tools keep of a thread beside the database."""

    def file(self, digest: str, content: bytes) -> bytes:
        """A file's content, sealed; it opens only under the same name."""
        ...

    def opened_file(self, digest: str, content: bytes) -> bytes:
        """A file's content, opened if it is sealed."""
        ...


SessionT = TypeVar("SessionT", bound=Session)


class Sessions:
    """The sessions of one subtask: opened on first use, shared by its calls, closed with it."""

    def __init__(self, opened: dict[str, Session] | None = None) -> None:
        """Open nothing yet.

        Args:
            opened: Sessions that are open already, by their keys.
        """
        self._open: dict[str, Session] = dict(opened or {})
        self._lock = asyncio.Lock()

    def __bool__(self) -> bool:
        """Whether any is open."""
        return bool(self._open)

    async def get(self, key: str, opener: Callable[[], Awaitable[SessionT]]) -> SessionT:
        """The session under `key`, opened with `opener` if there is none yet."""
        async with self._lock:
            if key not in self._open:
                self._open[key] = await opener()
            session: Any = self._open[key]
            return session

    def opened(self, key: str) -> Session | None:
        """The session under `key`; `None` if there is none yet."""
        return self._open.get(key)

    def take_lasting(self) -> dict[str, Session]:
        """Those that outlast a question to a person (`lasts`), which are then no longer closed with the others."""
        lasting = {key: session for key, session in self._open.items() if getattr(session, "lasts", False)}
        self._open = {key: session for key, session in self._open.items() if key not in lasting}
        return lasting

    async def aclose(self) -> None:
        """Close all of them, last opened first; the first failure is raised after the others are closed."""
        failures: list[Exception] = []
        while self._open:
            _, session = self._open.popitem()
            try:
                await session.aclose()
            except Exception as error:  # noqa: BLE001 - raised below, once the others are closed
                failures.append(error)
        if failures:
            raise failures[0]


AskAboutText = Callable[[str, str], Awaitable[str]]
"""Asks a model what a goal wants to know of a text, once in a call; raises `ToolError` where it gives no answer."""
Sample = Callable[[str, Sequence[tuple[str, str]]], Awaitable[str]]
"""Asks a model in somebody else's words: takes a system prompt, and what `user` and `assistant` have said, and gives
its reply; raises `ToolError` where it gives none."""
Embed = Callable[[Sequence[str]], Awaitable[list[list[float]]]]
"""Gives the vector of meaning of each text; an empty list where nothing but words can be compared."""
Look = Callable[[str, str, str], Awaitable[str | None]]
"""Has a picture looked at: takes its path in the workspace, its sha256 and a question, and gives the words of a model
that sees; `None` where the model that gets the call's result is shown the picture itself."""


def _silent(_: str) -> None:
    return None


@dataclass(frozen=True)
class ToolContext:
    """The call that a tool serves: its thread, subtask, workspace, settings and sessions."""

    thread_id: str
    """The thread the call belongs to."""
    subtask_id: str
    """The subtask the call belongs to."""
    workspace: Path
    """The thread's folder: absolute and existing; tools read and write below it."""
    settings: Settings
    """The user's settings."""
    sandbox: SandboxChoice = "auto"
    """Confinement chosen for this run."""
    call_id: str | None = None
    """Names this call, the same when its step runs again after a crash; `None` means it cannot be told."""
    attempt: int = 1
    """Which attempt of the subtask this is, from 1."""
    idempotency_key: str | None = None
    """Names what the call is to bring about: the same whenever it is made again after a crash, a timeout or a failure;
    `None` means it cannot be told."""
    sessions: Sessions = field(default_factory=Sessions)
    """Sessions shared by the calls of one subtask."""
    thread_sessions: Sessions = field(default_factory=Sessions)
    """Sessions shared by all subtasks that run now, closed with the last of them."""
    subtask_run: str = ""
    """Names this run of the subtask: the same after a crash, another in another round or after a change of it."""
    report: Callable[[str], None] = _silent
    """Says in a few words what the tool is doing, for the views."""
    models: Any = None
    """The run's gateway to models, for tools that ask one; `None` means that of the settings."""
    ask: AskAboutText | None = None
    """Asks the run's model about a text, for tools that need it read; `None` where the graph has no model."""
    sample: Sample | None = None
    """Asks the run's model in the words of a server that may do so; `None` where the graph has no model."""
    direct: bool = False
    """Whether a plan has the call in it, and no agent makes it."""
    policy: Any = None
    """The run's policy, for tools that make calls of others; `None` means that of the settings."""
    sealing: Sealing | None = None
    """Encrypts what tools keep of the thread in the data folder; `None` if the thread's rows are not encrypted."""
    searches: Searches | None = None
    """What was searched for in the thread before; `None` where nothing outlives the process."""
    kept_as: str = ""
    """Names what a tool whose spec has `keeps` keeps of this call beside the checkpoints; empty: it has no name."""
    kept_before: tuple[str, ...] = ()
    """The names of its earlier calls in the subtask, as of the present checkpoint, the newest first."""
    site: str | None = None
    """Where the call may have its effect: the scheme, host and port that somebody has consented to; `None` leaves it
    to the tool."""
    embed: Embed | None = None
    """Makes vectors of texts, for tools that search by meaning; `None` outside of runs."""
    look: Look | None = None
    """Has a picture looked at; `None` in calls of tools whose spec has no `shows`, and outside of runs with models."""


@runtime_checkable
class FollowsChanges(Protocol):
    """A tool that may be another one, or gone, in the middle of a run."""

    @property
    def is_there(self) -> bool:
        """Whether it is there, as far as is known before anybody looks."""
        ...

    async def as_of_now(self, context: ToolContext) -> Any:
        """The tool as it is now; `None` if it is gone."""
        ...


_current: ContextVar[ToolContext] = ContextVar("openmanus_graph_tool_context")


def tool_context() -> ToolContext:
    """The context of the call that is running.

    Raises:
        ToolError: If no call is running, that is if a built-in tool was called outside a graph.
    """
    found = _current.get(None) or _context_of_run()
    if found is None:
        raise ToolError(
            "This tool works only inside a run, because it needs the thread's workspace.",
            hint="Run it as a subtask of a plan, or wrap the call in `using_tool_context(...)`.",
        )
    return found


def running_context() -> ToolContext | None:
    """The context of the call or the agent that is running; `None` in a graph that runs by itself."""
    return _current.get(None)


def _context_of_run() -> ToolContext | None:
    """The context that a run of a user's own graph has for all its nodes; `None` outside of one."""
    from langchain_core.runnables.config import var_child_runnable_config

    config = var_child_runnable_config.get()
    make: Any = TOOL_CONTEXT.of(config)
    return None if make is None else make()


@contextmanager
def using_tool_context(context: ToolContext) -> Generator[ToolContext]:
    """Make `context` the current one for the block and everything it awaits or starts in threads."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
