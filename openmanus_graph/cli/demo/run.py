"""Demo: a run of the agent as a person would start it, in processes of its own, one of which may be killed.

Nothing is staged: the commands that are shown are those that run, and what is said of a crash is counted in the
database and in the log of the site.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import click

from openmanus_graph.checkpoints.thread_id import checked_thread
from openmanus_graph.cli.demo.site import Site
from openmanus_graph.cli.demo.witness import Witness, WorkCount
from openmanus_graph.cli.terminal import with_program
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import clean, counted
from openmanus_graph.errors import DatabaseError, UsageError
from openmanus_graph.sandbox.level import choose_level
from openmanus_graph.workspace import FOLDER

HALF_WAY = "/birch/prices.html"
"""The page during which the run is killed: half of the plan is committed then, and an agent is in the middle of its."""
PLACEHOLDER = "{site}"
"""Stands for the site's address in the task and in the recording."""
WAITING = 3
"""Exit code of a run that waits for an answer."""
WIDTH = 80
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
_SHOW_CURSOR = "\x1b[?25h"
_POLL_SECONDS = 0.02
_HOLD_SECONDS = 10.0
"""How long the page half-way is held back for the kill."""


@dataclass(frozen=True)
class DemoOptions:
    """Options of the command."""

    crash: bool = False
    ask: bool = False
    record: str | None = None
    sandbox: str | None = None
    thread: str | None = None
    as_json: bool = False
    quiet: bool = False


class Demo:
    """Demo run: site, processes, kill, answers and the summary."""

    def __init__(self, options: DemoOptions) -> None:
        """Prepare nothing yet."""
        self._options = options
        self._data: Traversable = resources.files("openmanus_graph") / "demo"
        self._name = options.thread or f"demo-{secrets.token_hex(3)}"
        self._replies = Path(FOLDER, f"{self._name}.jsonl")
        self._witness = Witness(self._name)
        self._before: WorkCount | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped_by = 0

    def run(self) -> int:
        """Run the demo.

        Returns:
            The exit code of its last process.

        Raises:
            UsageError: If a thread of this name exists that was no demo, or its site cannot be served again.
            SandboxUnavailableError: If Python cannot be confined here.
        """
        self._check_sandbox()
        with closing(self._witness):
            port = self._port_before()
            known = bool(self._options.thread) and self._witness.thread() is not None
            if known and port is None:
                raise UsageError(
                    f"The thread {self._name!r} is no demo of this folder.", hint="Name another one, or none."
                )
            with self._site(port) as site, self._signals():
                self._write_replies(site)
                self._introduce(site)
                return self._go_through(site, known)

    def _site(self, port: int | None) -> Site:
        try:
            return Site(self._data / "pages", port)
        except OSError as error:
            raise UsageError(
                f"The site of the demo {self._name!r} cannot be served: its port {port} is taken.",
                hint="Start a new one: openmanus-graph demo",
            ) from error

    def _check_sandbox(self) -> None:
        """Raise before the run, not in its middle, if Python cannot be confined."""
        settings = Settings.load(sandbox=self._options.sandbox)
        choose_level(settings.sandbox, settings)

    def _port_before(self) -> int | None:
        """The port of the site that a stopped demo had, from its recording; its pages must be where they were."""
        if not self._options.thread or not self._replies.is_file():
            return None
        address = _ADDRESS.search(self._replies.read_text(encoding="utf-8"))
        return int(address[1]) if address else None

    def _write_replies(self, site: Site) -> None:
        """The recording with the site's address in it; its name is in the thread, so a resume finds it again."""
        self._replies.parent.mkdir(parents=True, exist_ok=True)
        if self._options.record:
            self._replies.write_text(f'{{"site": "{site.address}"}}\n', encoding="utf-8")
            return
        text = (self._data / "recording.jsonl").read_text(encoding="utf-8")
        self._replies.write_text(text.replace(PLACEHOLDER, site.address), encoding="utf-8")

    # The run

    def _go_through(self, site: Site, known: bool) -> int:
        if known:
            code = self._command(site, "resume", self._name)
        else:
            code = self._begin(site)
            if self._before is not None:
                self._say("\nA new process goes on by the thread's id alone:")
                code = self._command(site, "resume", self._name)
        while code == WAITING and not self._options.ask:
            answers = self._witness.approvals()
            if not answers:
                break
            self._say(
                "\nThe process has ended, and the thread waits in Postgres for a person, until tomorrow if need be. "
                "The demo answers for you (with --ask you do):"
            )
            code = self._command(site, "resume", self._name, *answers)
        self._keep_recording(site)
        self._conclude(site, code)
        return code if code >= 0 else 128 - code

    def _begin(self, site: Site) -> int:
        """Start the run, and kill it half-way if that is wished; `_before` is what had been done then."""
        words = ["run", self._task(site), "--thread", self._name]
        if self._options.record:
            words += ["--record", str(self._recorded.absolute())]
        else:
            words += ["--model", f"replay:{self._replies.absolute()}"]
        if self._options.sandbox:
            words += ["--sandbox", self._options.sandbox]
        if not self._options.crash:
            return self._command(site, *words)
        half_way, killed = threading.Event(), threading.Event()

        def reached(path: str) -> None:
            if path == HALF_WAY and not killed.is_set():
                half_way.set()
                killed.wait(_HOLD_SECONDS)

        site.reached = reached
        code = self._command(site, *words, kill_at=half_way)
        killed.set()
        site.reached = None
        if code != -signal.SIGKILL:
            self._say("\nThe run ended before it could be killed.")
            return code
        self._before = self._tell_crash(site)
        return code

    def _tell_crash(self, site: Site) -> WorkCount:
        if sys.stderr.isatty():
            click.echo(_SHOW_CURSOR, err=True)
        child = self._child
        self._say(
            f"\nKilled: process {child.pid if child else 0} got SIGKILL in the middle of fetching {HALF_WAY}. "
            "It could save nothing; what it had committed is in Postgres:"
        )
        count = self._witness.count(site)
        self._say(
            f"  {_many(count.completed, 'subtask')} ({', '.join(count.completed)}) and "
            f"{_many(count.calls.elements(), 'model call')}."
        )
        return count

    # Processes

    def _command(self, site: Site, *words: str, kill_at: threading.Event | None = None) -> int:
        """Run a command of this program in a process of its own.

        Args:
            site: The site that its tools may reach.
            words: The command.
            kill_at: When to kill the process; `None` for never.

        Returns:
            Its exit code, negative where a signal ended it.
        """
        self._say_command(words)
        views = [option for option, on in (("--json", self._options.as_json), ("--quiet", self._options.quiet)) if on]
        sys.stdout.flush()
        sys.stderr.flush()
        self._child = subprocess.Popen(
            [*_program(), *words, *views],
            env=_environment(site),
            stdin=None if self._options.ask else subprocess.DEVNULL,
            # Ctrl-C reaches it once, through this process; one that asks a person needs the terminal itself.
            start_new_session=not self._options.ask,
        )
        with suppress(DatabaseError):  # the process says the same
            self._witness.open()  # meanwhile
        while (code := self._child.poll()) is None:
            if kill_at is not None and kill_at.is_set():
                self._child.kill()
                return self._child.wait()
            time.sleep(_POLL_SECONDS)
        return code

    @contextmanager
    def _signals(self) -> Generator[None]:
        """Hand Ctrl-C and `SIGTERM` on to the run, which stops cleanly and can be resumed."""

        def hand_on(number: int, _: Any) -> None:
            self._stopped_by = number
            at_terminal = number == signal.SIGINT and self._options.ask
            if self._child is not None and self._child.poll() is None and not at_terminal:
                self._child.send_signal(number)

        earlier = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    # Words

    def _task(self, site: Site) -> str:
        return (self._data / "task.txt").read_text(encoding="utf-8").strip().replace(PLACEHOLDER, site.address)

    def _introduce(self, site: Site) -> None:
        if self._options.record:
            model = "Your own model is used, and its replies are recorded."
        else:
            model = "The model's replies are a recording, written by hand: no key, no network, no cost."
        self._say(
            f"The agent at work. {model} All else is real: the plan, the tools, the checks, Postgres, and a small site "
            f"with three suppliers of lamps, which this process serves at {site.address}/ for as long as it runs."
        )

    def _conclude(self, site: Site, code: int) -> None:
        turns = self._witness.turns() if self._witness.is_open else []
        if turns:
            self._say("\nWhat happened on the way:")
        for turn in turns:
            self._say(f"  {turn}")
        if self._before is not None:
            self._compare(self._before, self._witness.count(site))
        if self._stopped_by or code == WAITING:
            self._say("\nThe site has ended with the demo. To go on with both:")
            self._say_command(("demo", "--thread", self._name))
        elif code == 0:
            self._say_what_next(site)

    def _say_what_next(self, site: Site) -> None:
        log = site.log
        if log.posts:
            sent = "once" if log.posts == 1 else f"{log.posts} times"
            self._say(f"\nThe site got {_many(log.quotes, 'request')} for a quote, sent {sent}.")
        self._say("\nWhat to do next:")
        report = Path(FOLDER, self._name, "report.md")
        own = with_program('openmanus-graph run "Your own task"')
        commands = [
            with_program(f"openmanus-graph threads show {self._name}"),
            with_program("openmanus-graph demo --crash" if self._before is None else "openmanus-graph doctor"),
            f"LLM_MODEL=openai/gpt-5-mini OPENAI_API_KEY=… \\\n    {own}",
        ]
        for command in [f"cat {shlex.quote(str(report))}", *commands] if report.is_file() else commands:
            self._echo(f"  {command}")

    def _compare(self, before: WorkCount, after: WorkCount) -> None:
        """Print the counts of work before and after the crash."""
        calls_again = [place for place, number in after.calls.items() if number > 1]
        pages_again = [page for page, number in (after.pages - before.pages).items() if page in before.pages and number]
        self._say(
            f"\nCounted over all processes: {_many(before.calls.elements(), 'model call')} before the kill and "
            f"{after.calls.total() - before.calls.total()} after it, {_again(calls_again)}; "
            f"{_many(before.pages.elements(), 'page')} before and "
            f"{after.pages.total() - before.pages.total()} after, {_again(pages_again)}"
            + (", which was on its way when the process died." if pages_again == [HALF_WAY] else ".")
        )

    def _say_command(self, words: tuple[str, ...]) -> None:
        shown = " ".join(_short(word) for word in words)
        lines = textwrap.wrap(
            f"$ {with_program(f'openmanus-graph {shown}')}",
            WIDTH - 2,
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        text = " \\\n".join(lines)
        self._echo(f"\n{click.style(text, bold=True)}")

    def _say(self, text: str) -> None:
        lead = "\n" if text.startswith("\n") else ""
        indent = "  " if text.startswith("  ") else ""
        wrapped = textwrap.fill(
            clean(text.strip()),
            WIDTH,
            initial_indent=indent,
            subsequent_indent=2 * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        self._echo(lead + wrapped)

    def _echo(self, text: str) -> None:
        if not self._options.quiet:
            click.echo(text, err=True)

    # Recording

    @property
    def _recorded(self) -> Path:
        """Where a live model's replies are kept until the site's address is taken out of them."""
        return self._replies.with_suffix(".live.jsonl")

    def _keep_recording(self, site: Site) -> None:
        if not self._options.record or not self._recorded.is_file():
            return
        text = self._recorded.read_text(encoding="utf-8").replace(site.address, PLACEHOLDER)
        Path(self._options.record).expanduser().write_text(text, encoding="utf-8")
        self._say(f"\nThe replies are in {self._options.record}.")


def _program() -> list[str]:
    """How another process of this program is started, under the name that it was called by."""
    called = Path(sys.argv[0])
    if called.name == "openmanus-graph" and called.is_file():
        return [sys.executable, str(called)]
    return [sys.executable, "-m", "openmanus_graph"]


def _environment(site: Site) -> dict[str, str]:
    """The environment of the run: what would change its course is set, the rest is the user's own."""
    policy = {
        "default": "allow",
        "rules": [{"effect": "external", "action": "ask", "reason": "it sends something to somebody else."}],
    }
    chosen = {
        "ALLOW_HOSTS": json.dumps([site.host]),
        "POLICY": json.dumps(policy),
        "REVIEW": "never",
        "MAX_REPLANS": "3",
        "MAX_VERIFICATIONS": "3",
    }
    kept = {key: value for key, value in os.environ.items() if key != "OPENMANUS_GRAPH_RECORD"}
    return {**kept, **{f"OPENMANUS_GRAPH_{name}": value for name, value in chosen.items()}}


def _short(word: str) -> str:
    """A word of a command as it can be typed in this folder."""
    here = f"{Path.cwd()}{os.sep}"
    return shlex.quote(word.replace(here, "")) if " " not in word else '"' + word.replace('"', '\\"') + '"'


def _many(things: Any, noun: str) -> str:
    return counted(len(list(things)), noun)


def _again(places: list[str]) -> str:
    return "none of them twice" if not places else f"twice only {', '.join(places)}"


def demo(
    crash: bool, ask: bool, record: str | None, sandbox: str | None, thread: str | None, as_json: bool, quiet: bool
) -> int:
    """See the agent work: no key, no network, some seconds."""
    chosen = checked_thread(thread) if thread else None
    return Demo(DemoOptions(crash, ask, record, sandbox, chosen, as_json, quiet)).run()
