"""A process that imports everything once and forks a runner for each case: real processes, without their start."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import select
import signal
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from langgraph.types import Command

from openmanus_graph import fault_points, get_thread, open_checkpointer
from openmanus_graph.checkpoints.progress import subtask_progress
from openmanus_graph.cli import main as main_of_program
from tests.chaos import shapes

SLOW = "openmanus_graph.cli.run", "openmanus_graph.cli.resume", "langchain_litellm", "openai.resources.chat", "mcp"
"""Imported late in a run."""
for slow in SLOW:
    with suppress(ImportError):
        import_module(slow)

PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 10.0
"""How long what a killed runner had started may take to notice."""
_TASK_ID = re.compile(r":[0-9a-f-]{36}")
_OWN_MODULE = re.compile(r"_[0-9a-f]{8}\.py")
"""What is of a folder in the names of modules that stand in for a user's files."""


class Watcher:
    """Counts boundaries, kills or stops the process at one of them, and moves the clock at others."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.case = case
        self.passed: list[str] = []
        self.times: Counter[str] = Counter(case.get("passed", {}))
        self.offset = float(case.get("clock", 0.0))

    def __call__(self, name: str) -> None:
        """Come to a boundary."""
        name = _OWN_MODULE.sub(".py", _TASK_ID.sub("", name))
        self.times[name] += 1
        full = f"{name} #{self.times[name]}"
        self.passed.append(full)
        if full == self.case.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if full == self.case.get("stop_at"):
            os.kill(os.getpid(), signal.SIGSTOP)
        self.offset += self.case.get("jumps", {}).get(str(len(self.passed)), 0.0)

    def set_clock(self) -> None:
        """Have Python's wall clock differ from the machine's, as one that is set wrong or jumps."""
        now, now_ns = time.time, time.time_ns
        time.time = lambda: now() + self.offset  # type: ignore[assignment]
        time.time_ns = lambda: now_ns() + int(self.offset * 1e9)  # type: ignore[assignment]


async def drive(case: dict[str, Any]) -> dict[str, Any]:
    """Begin the thread or go on with it, and answer what is asked, until it ends."""
    shape = shapes.SHAPES[case["shape"]]
    thread = case["thread"]
    async with open_checkpointer(case["url"]) as saver:
        app = shape.graph(case["provider"]).compile(checkpointer=saver)
        options = {"thread_id": thread, "workspace": str(Path("work").absolute()), **case.get("options", {})}
        config: Any = {"configurable": options}
        begun = await get_thread(saver, thread) is not None and (await app.snapshot(thread)).values
        given: Any = None if begun else shape.given
        while True:
            values = await app.ainvoke(given, config)
            questions = await app.questions(thread)
            if not questions:
                kept = (await app.snapshot(thread)).values
                progress = {
                    str(one.subtask.id): one.status for one in await subtask_progress(saver, thread, live=False)
                }
                return {"values": plain(values), "kept": plain(kept), "progress": progress}
            given = Command(resume={one["id"]: shapes.answer(one) for one in questions})


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """What must be the same however often the run was cut short: no times, no counts of attempts."""
    results = {
        name: {key: result.get(key) for key in ("status", "output", "error", "output_file", "verified")}
        for name, result in values["results"].items()
    }
    messages = [(message.type, message.text) for message in values.get("messages", [])]
    return {
        "results": results,
        "messages": messages,
        **{key: values.get(key) for key in ("answer", "status", "plan")},
    }


def run(case: dict[str, Any]) -> None:
    """What a forked runner does."""
    folder = Path(case["folder"])
    (folder / "work").mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    errors = os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    watcher = Watcher(case)
    fault_points.watch(watcher)
    if case.get("clock") is not None or case.get("jumps"):
        watcher.set_clock()
    said = {**asyncio.run(drive(case)), "boundaries": watcher.passed}
    Path("ended.json").write_text(json.dumps(said))


def type_command(case: dict[str, Any]) -> None:
    """What a forked shell command does: the program's own `main`, with its words, folder and environment."""
    os.environ |= {"OPENMANUS_GRAPH_HOME": str(Path(case["folder"]) / "home"), **case["environment"]}
    os.chdir(case["folder"])
    for number, name, mode in ((1, "stdout", os.O_TRUNC), (2, "stderr", os.O_APPEND)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | mode), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["openmanus-graph", *case["argv"]]
    watcher = Watcher(case)
    fault_points.watch(watcher)
    try:
        main_of_program()
    finally:
        sys.stdout.flush()
        Path("ended.json").write_text(json.dumps(watcher.passed))


def fork(case: dict[str, Any]) -> int:
    """A runner of its own."""
    child = os.fork()
    if child:
        return child
    try:
        type_command(case) if "argv" in case else run(case)
    except SystemExit as ended:
        sys.stderr.flush()
        os._exit(ended.code if isinstance(ended.code, int) else 0)
    except BaseException:  # noqa: BLE001 - whatever it is, a fork must not go on as its parent
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def left_over() -> list[str]:
    """What runners have started and left, once it had time to notice; it is ended here."""
    deadline = time.monotonic() + GRACE_S
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while True:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        pids = children.read_text().split()
        if not pids:
            return []
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    names = [" ".join(Path(f"/proc/{pid}/{what}").read_text() for what in ("stat", "wchan", "cmdline")) for pid in pids]
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)
    return names


def ended(pid: int) -> int | None:
    """The exit code of a runner, or `None` as long as it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def say(**fields: Any) -> None:
    """Tell the test something."""
    print(json.dumps(fields), flush=True)


def main() -> None:
    """Take cases from stdin, one JSON a line; say the pid of each runner, and how it ended."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what a killed runner leaves becomes ours
    running: dict[int, str] = {}
    heard = b""
    say(ready=os.getpid())
    while True:
        if select.select([0], [], [], 0.005 if running else None)[0]:
            new = os.read(0, 1 << 16)
            if not new:
                os._exit(0)  # what libraries do at the end of a process takes seconds, and here nothing hangs on it
            *cases, heard = (heard + new).split(b"\n")
            for case in map(json.loads, cases):
                running[fork(case)] = case["name"]
                say(name=case["name"], pid=list(running)[-1])
        for pid, name in list(running.items()):
            code = ended(pid)
            if code is not None:
                del running[pid]
                say(name=name, code=code, left=[] if running else left_over())


if __name__ == "__main__":
    main()
