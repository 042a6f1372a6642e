"""Live: a run as a table that lives on the terminal, never higher or wider than it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import RLock
from typing import Any

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from openmanus_graph.agent_nodes import ACTING
from openmanus_graph.cli.run_view_model import RunViewModel, SubtaskRow
from openmanus_graph.display_text import amount, clean, cost, duration, one_line
from openmanus_graph.events import Event

STYLES = {
    "pending": "dim",
    "running": "cyan",
    "waiting": "yellow",
    "completed": "green",
    "checked": "green",
    "failed": "red",
    "blocked": "magenta",
    "skipped": "dim",
}


@dataclass(frozen=True)
class Glyphs:
    """The signs of a terminal."""

    marks: dict[str, str]
    """By status, and `checked` for what a check confirmed."""
    frames: str
    """What turns while something runs."""
    more: str


PRETTY = Glyphs(
    {
        "pending": "·",
        "running": "▸",
        "waiting": "?",
        "completed": "✓",
        "checked": "✓✓",
        "failed": "✗",
        "blocked": "■",
        "skipped": "–",
    },
    "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏",
    "…",
)
PLAIN = Glyphs(
    {
        "pending": ".",
        "running": ">",
        "waiting": "?",
        "completed": "+",
        "checked": "++",
        "failed": "x",
        "blocked": "#",
        "skipped": "-",
    },
    "|/-\\",
    "...",
)
"""For terminals that are not Unicode."""
_FIRST = {"waiting": 0, "running": 1, "failed": 2, "pending": 3, "blocked": 4}
"""What is shown first when not all rows fit."""
ANSWER_LINES = 4
STRIP_LINES = 3


def strip(view_model: RunViewModel, glyphs: Glyphs) -> Text:
    """DAG in a line: one sign per subtask, grouped by the length of its longest chain of prerequisites."""
    depth: dict[str, int] = {}
    for row in view_model.rows.values():  # a plan may name its subtasks in any order
        _depth(row.id, view_model, depth)
    groups: dict[int, Text] = {}
    for row in view_model.rows.values():
        group = groups.setdefault(depth[row.id], Text())
        group.append(glyphs.marks[row.status], style=STYLES[row.status])
    return Text(" ").join(groups[level] for level in sorted(groups))


def _depth(name: str, view_model: RunViewModel, known: dict[str, int]) -> int:
    """How deep a subtask lies; without recursion, since a plan may be a chain of a thousand."""
    stack = [name]
    while stack:
        top = stack[-1]
        needs = [need for need in view_model.rows[top].needs if need in view_model.rows]
        missing = [need for need in needs if need not in known]
        if missing and len(stack) <= len(view_model.rows):
            stack += missing
            continue
        known[top] = max((known.get(need, 0) + 1 for need in needs), default=0)
        stack.pop()
    return known[name]


class LiveView:
    """A table that lives on the terminal: each subtask's state, time and what it is doing, and the whole."""

    def __init__(self, view_model: RunViewModel, console: Console) -> None:
        """Draw `view_model` on `console`."""
        self._view_model = view_model
        self._console = console
        self._glyphs = PRETTY if console.encoding.lower().startswith("utf") else PLAIN
        self._note = ""
        self._ended = False
        self._lock = RLock()  # drawn from a thread of its own
        self._live = Live(console=console, refresh_per_second=8, get_renderable=self.render, transient=False)

    def start(self) -> None:
        """Take the terminal."""
        self._live.start()

    def stop(self) -> None:
        """Print the last state, if there was a plan to show, and give the terminal back."""
        self._ended = self._view_model.over
        self._live.transient = not self._view_model.rows
        self._live.stop()

    def show(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            self._view_model.take(event)

    def say(self, text: str) -> None:
        """Show a text inside the picture; a print beside it would break the picture."""
        with self._lock:
            self._note = text

    def render(self) -> Group:
        """The picture of this moment, as high as the terminal at most."""
        with self._lock:
            head = [self._title(), *self._role_lines()]
            foot = [*self._answer(), *self._notes(), self._footer()]
            room = max(self._console.size.height - len(head) - len(foot) - 1, 3)
            return Group(*head, *self._table(room), *foot)

    def _title(self) -> Text:
        view_model = self._view_model
        again = f"  plan {view_model.plans}" if view_model.plans > 1 else ""
        width = max(self._console.width - len(again), 10)
        title = Text(one_line(view_model.goal) or "plan", style="bold", no_wrap=True)
        title.truncate(width, overflow="ellipsis", pad=bool(again))
        return title.append(again, style="yellow") if again else title

    def _role_lines(self) -> list[Text]:
        """Lines about roles of the graph whose models are replying."""
        lines: list[Text] = []
        for role, active in self._view_model.active_roles.items():
            took = duration(self._view_model.clock() - active.began)
            line = _line(f"{self._frame()} {role} ", "cyan")
            line.append(f"{ACTING.get(role, 'thinking')}  {took}  ")
            lines.append(line.append(one_line(active.model), style="dim"))
        if not lines and self._view_model.note and not self._view_model.rows:
            lines.append(_line(f"  {self._view_model.note}", "dim"))
        return lines

    def _answer(self) -> list[Text]:
        """The last lines of the answer that is being written."""
        reply = next((active.reply for role, active in self._view_model.active_roles.items() if role != "planner"), "")
        lines = [line for line in clean(reply).split("\n") if line.strip()][-ANSWER_LINES:]
        return [_line(f"  {one_line(line)}", "dim") for line in lines]

    def _notes(self) -> list[Text]:
        notes = [text for text in (self._view_model.warning, self._note) if text]
        lines = [_line(f"! {text}", "yellow") for text in notes]
        asked = [
            question for question in self._view_model.questions if question.get("subtask") not in self._view_model.rows
        ]
        return [*lines, *(_line(f"? {one_line(str(each.get('question')))}", "yellow") for each in asked[:2])]

    def _table(self, room: int) -> list[Any]:
        rows = list(self._view_model.rows.values())
        if not rows:
            return []
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=2, no_wrap=True)
        table.add_column(no_wrap=True, max_width=max(self._console.width // 4, 8), overflow="ellipsis")
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", no_wrap=True)
        if len(rows) <= room:
            for row in rows:
                table.add_row(*self._cells(row))
            return [table]
        lines = list(strip(self._view_model, self._glyphs).wrap(self._console, self._console.width))[:STRIP_LINES]
        shown = self._most_telling(rows, max(room - len(lines) - 1, 1))
        for row in shown:
            table.add_row(*self._cells(row))
        return [*lines, table, self._hidden(rows, shown)]

    def _most_telling(self, rows: list[SubtaskRow], room: int) -> list[SubtaskRow]:
        order = sorted(range(len(rows)), key=lambda index: (_FIRST.get(rows[index].status, 5), index))
        return [rows[index] for index in sorted(order[:room])]

    def _hidden(self, rows: list[SubtaskRow], shown: list[SubtaskRow]) -> Text:
        names = {row.id for row in shown}
        counts: dict[str, int] = {}
        for row in rows:
            if row.id not in names:
                counts[row.status] = counts.get(row.status, 0) + 1
        words = ", ".join(f"{count} {status}" for status, count in counts.items())
        return _line(f"{self._glyphs.more} {len(rows) - len(shown)} more: {words}", "dim")

    def _cells(self, row: SubtaskRow) -> list[Text]:
        status = "checked" if row.status == "completed" and row.verified else row.status
        mark, style = self._glyphs.marks[status], STYLES[status]
        took = row.took
        if row.status == "running":
            mark = self._frame()
            took = None if row.began is None else self._view_model.clock() - row.began
        style_of_text = {"failed": "red", "running": "", "waiting": "yellow"}.get(row.status, "dim")
        clock = "kept" if row.kept else "" if took is None else duration(took)
        tokens = f"{amount(row.tokens)} tok  " if row.tokens else ""
        return [
            Text(mark, style=style),
            Text(one_line(row.id), style=style, overflow="ellipsis", no_wrap=True),
            Text(self._doing(row), style=style_of_text, overflow="ellipsis", no_wrap=True),
            Text(tokens + clock, style="dim"),
        ]

    def _doing(self, row: SubtaskRow) -> str:
        """What the row says; at the end, why it failed is told below the picture, in full."""
        return one_line(row.goal) if self._ended and row.status == "failed" else row.doing

    def _frame(self) -> str:
        frames = self._glyphs.frames
        return frames[int(time.monotonic() * 10) % len(frames)]

    def _footer(self) -> Table:
        view_model = self._view_model
        usage = view_model.usage
        parts: list[ProgressBar | str] = []
        total, used = len(view_model.rows), 0
        if total:
            width = min(28, max(self._console.width // 5, 4))
            parts += [ProgressBar(total=total, completed=view_model.done, width=width), f"{view_model.done} of {total}"]
            used = width + len(f"{view_model.done} of {total}") + 2
        words = [duration(view_model.elapsed_s)]
        if usage["calls"]:
            words += [f"{amount(usage['input_tokens'] + usage['output_tokens'])} tok", cost(usage["cost_usd"])]
        if view_model.budget_share:
            words.append(view_model.budget_share)
        words.append(one_line(view_model.thread_id))
        line = ""
        for word in words:  # what does not fit at the end is left out
            longer = f"{line}  {word}" if line else word
            if used + cell_len(longer) >= self._console.width:
                break
            line = longer
        footer = Table.grid(padding=(0, 1))
        footer.add_row(*parts, Text(line, style="dim", no_wrap=True))
        return footer


def _line(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
