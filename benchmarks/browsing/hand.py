"""Hand: does tasks through the tool alone; it looks elements up by role and name in what is shown, as models do."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.browsing.local_site import LocalSite
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import Sessions, ToolContext, using_tool_context
from openmanus_graph.tools.browser_use import browser_use


@dataclass
class Hand:
    """The calls of one subtask."""

    context: ToolContext
    """The subtask."""
    site: LocalSite
    """Where it works."""
    times: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    """Milliseconds of each call, by action."""
    shown: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the newest call gave."""
    snapshot: str = ""
    """The newest snapshot."""

    async def act(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Call the tool."""
        began = time.perf_counter()
        with using_tool_context(self.context):
            self.shown = await browser_use.ainvoke({"action": action, **arguments})
        self.times.setdefault(action, []).append((time.perf_counter() - began) * 1000)
        self.snapshot = self.shown["snapshot"] or self.snapshot
        return self.shown

    async def open(self, path: str) -> None:
        """Go to a page of the site."""
        await self.act("go_to_url", url=f"{self.site.url}{path}")

    async def ref(self, role: str, name: str = "") -> str:
        """The ref of an element by its role and the beginning of its name, searched in the page if it is not shown."""
        wanted = (
            rf'\[([ex]\d+(?:-\d+)?)\] {role}[^"\n]*"{re.escape(name)}' if name else rf"\[([ex]\d+(?:-\d+)?)\] {role}"
        )
        found = re.search(wanted, self.snapshot)
        if found is None and name:
            await self.act("find", text=name)
            found = re.search(wanted, self.shown["text"])
        if found is None:
            raise LookupError(f"no {role} {name!r} in:\n{self.snapshot}")
        return found[1]

    async def item(self, text: str) -> str:
        """The ref of an element without a name, by the first word that it shows."""
        found = re.search(rf"\[([ex]\d+(?:-\d+)?)\] [^\"\n]*\b{re.escape(text)}", self.snapshot)
        if found is None:
            raise LookupError(f"nothing shows {text!r} in:\n{self.snapshot}")
        return found[1]

    async def click(self, role: str, name: str = "") -> None:
        """Click an element."""
        await self.act("click_element", ref=await self.ref(role, name))

    async def type(self, role: str, name: str, text: str) -> None:
        """Write into a field."""
        await self.act("input_text", ref=await self.ref(role, name), text=text)

    async def choose(self, role: str, name: str, text: str) -> None:
        """Choose an option."""
        await self.act("select_dropdown_option", ref=await self.ref(role, name), text=text)

    def sees(self, text: str) -> bool:
        """Whether the newest snapshot, the text, the title or a note has a text."""
        return any(text in str(self.shown[key]) for key in ("snapshot", "text", "title", "notes", "url"))

    def sent(self, *texts: str) -> bool:
        """Whether one request had all these texts."""
        return any(all(text in request for text in texts) for request in self.site.sent)


Work = Callable[[Hand], Awaitable[bool]]


@dataclass(frozen=True)
class Task:
    """A task."""

    name: str
    """What is to be done, in words."""
    page: str
    """The page it begins on."""
    work: Work
    """Does it, and looks whether it is done."""


TASKS: list[Task] = []


def task(name: str, page: str) -> Callable[[Work], Work]:
    """Add a task.

    Args:
        name: What is to be done, in words.
        page: The page it begins on, which is open when it begins.
    """

    def added(work: Work) -> Work:
        TASKS.append(Task(name, page, work))
        return work

    return added


def new_hand(site: LocalSite, folder: Path, thread: Sessions, name: str) -> Hand:
    """A subtask of its own, with an empty workspace.

    Args:
        site: Where it works.
        folder: Where its workspace and data folder are made.
        thread: What the subtasks of a thread share.
        name: The subtask's id.
    """
    workspace = folder / name / "workspace"
    workspace.mkdir(parents=True)
    settings = Settings(home=folder / "home", allow_hosts=("127.0.0.1",))
    return Hand(ToolContext("bench", name, workspace, settings, thread_sessions=thread), site)
