"""The `python_execute` tool: what a model or a plan relies on, at every level and without confinement."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import pytest

from openmanus_graph.context import ToolContext
from openmanus_graph.sandbox.capture import KEEP
from openmanus_graph.tools.python_execute import python_execute
from tests.sandbox.conftest import gone, sleeping

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("context")]


async def run(code: str, **more: Any) -> dict[str, Any]:
    result: dict[str, Any] = await python_execute.ainvoke({"code": code, **more})
    assert set(result) == {"stdout", "result", "error", "files"}
    return result


async def test_prints_and_the_last_expression_come_back() -> None:
    expected = {"stdout": "hi\n", "result": "{'a': 3}", "error": None, "files": []}
    assert await run("print('hi')\n{'a': 1 + 2}") == expected
    assert (await run("x = 1"))["result"] is None
    assert (await run("None"))["result"] is None
    assert (await run(""))["error"] is None


async def test_variables_imports_and_functions_persist() -> None:
    await run("import math\nx = 2\ndef f(y):\n    return x * y")
    assert (await run("f(math.floor(3.5))"))["result"] == "6"
    assert (await run("_ + 1"))["result"] == "7"


async def test_a_failure_gives_the_traceback_and_keeps_the_rest() -> None:
    result = await run("x = 5\nprint('before')\ndef f():\n    return 1 / 0\nf()")
    assert result["stdout"] == "before\n"
    assert result["error"].startswith('Traceback (most recent call last):\n  File "<code 1>", line 5')
    assert "return 1 / 0" in result["error"]
    assert result["error"].endswith("ZeroDivisionError: division by zero")
    assert (await run("x"))["result"] == "5"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def f(:", "SyntaxError"),
        ("'a\0b'", "null bytes"),
        ("import sys; sys.exit(4)", "SystemExit: 4"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("input()", "EOFError"),
        ("class A:\n    def __repr__(self):\n        raise ValueError('no text')\nA()", "no text"),
        ("class E(Exception):\n    def __str__(self):\n        raise ValueError\nraise E", "E"),
        ("def f():\n    f()\nf()", "RecursionError"),
    ],
)
async def test_code_that_fails_leaves_the_interpreter(code: str, said: str) -> None:
    await run("kept = 1")
    assert said in (await run(code))["error"]
    assert (await run("kept"))["result"] == "1"


@pytest.mark.parametrize("code", ["import sys; sys.exit(0)", "import sys; sys.exit()", "raise SystemExit"])
async def test_an_exit_without_a_failure_is_a_success(code: str) -> None:
    result = await run(f"kept = 1\nprint('before')\n{code}")
    assert (result["error"], result["stdout"]) == (None, "before\n")
    assert (await run("kept"))["result"] == "1"


async def test_code_awaits_at_its_top_level() -> None:
    code = "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x\nx = await f(1)\nawait f(x + 1)"
    assert (await run(code))["result"] == "2"
    assert (await run("task = asyncio.ensure_future(f(3)) if False else f(3)\nawait task"))["result"] == "3"
    assert "ZeroDivisionError" in (await run("await f(1 / 0)"))["error"]
    assert (await run("asyncio.run(f(4))"))["result"] == "4"


@pytest.mark.parametrize(
    "code",
    [
        "import io, sys\nsys.stdout = io.StringIO()\nraise KeyboardInterrupt",
        "import sys\nsys.stdout.close()",
        "import os\nos.close(1)",
        "import sys\nsys.stdout = None",
    ],
)
async def test_what_code_does_to_its_output_ends_with_it(code: str) -> None:
    await run(code)
    assert (await run("print('after')"))["stdout"] == "after\n"


async def test_both_streams_and_subprocesses_are_caught_in_order() -> None:
    code = "import subprocess, sys\nprint(1)\nprint(2, file=sys.stderr)\nsubprocess.run(['echo', '3'])\nprint(4)"
    assert (await run(code))["stdout"] == "1\n2\n3\n4\n"


async def test_output_before_a_timeout_is_kept(marker: str) -> None:
    started = time.monotonic()
    code = f"x = 1\nprint('before')\nimport subprocess\nsubprocess.run(['setsid', 'sleep', '{marker}'])"
    result = await run(code, timeout_s=0.5)
    assert time.monotonic() - started < 5
    assert result["stdout"] == "before\n"
    assert "Timed out after 0.5 s" in result["error"]
    assert "variables are lost" in result["error"]
    assert await gone(marker)
    assert "NameError" in (await run("x"))["error"]


async def test_an_interpreter_that_dies_is_replaced() -> None:
    result = await run("import os\nprint('last', flush=True)\nos._exit(3)")
    assert result["stdout"] == "last\n"
    assert "exit code 3" in result["error"]
    assert (await run("1"))["result"] == "1"


async def test_files_made_and_changed_are_named(context: ToolContext) -> None:
    (context.workspace / "before").write_text("1")
    (context.workspace / "same").write_text("1")
    result = await run("import os\nos.makedirs('d/e')\nopen('d/e/made', 'w').close()\nopen('before', 'a').write('2')")
    assert result["files"] == ["before", "d/e/made"]
    assert (context.workspace / "before").read_text() == "12"
    assert (await run("1"))["files"] == []


async def test_figures_are_saved(context: ToolContext) -> None:
    # A stand-in with the three calls that matter: matplotlib itself is no dependency of the project.
    folder = context.workspace / "matplotlib"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "pyplot.py").write_text(
        "open_figures = []\n"
        "class Figure:\n    def savefig(self, path):\n        open(path, 'w').write('picture')\n"
        "def plot():\n    open_figures.append(len(open_figures) + 1)\n"
        "def get_fignums():\n    return list(open_figures)\n"
        "def figure(number):\n    return Figure()\n"
        "def close(number):\n    open_figures.remove(number)\n"
    )
    first = await run("import matplotlib.pyplot as plt\nplt.plot()\nplt.plot()")
    assert [name for name in first["files"] if name.endswith(".png")] == ["figure-1.png", "figure-2.png"]
    assert (await run("plt.plot()"))["files"] == ["figure-3.png"]
    assert (await run("1"))["files"] == []


async def test_a_flood_keeps_head_and_tail() -> None:
    result = await run("print('head')\nprint('a' * 20_000_000)\nprint('tail')\n'b' * 3_000_000")
    text: str = result["stdout"]
    assert text.startswith("head\n")
    assert text.endswith("tail\n")
    assert len(text) < KEEP + 100
    assert len(result["result"]) < 1_000_100


async def test_text_that_cannot_be_stored_is_escaped() -> None:
    result = await run("class A:\n    def __repr__(self):\n        return 'a\\0\\ud800'\nA()")
    assert result["result"] == "a\\x00\\ud800"


async def test_it_is_our_own_interpreter_with_its_packages() -> None:
    result = await run("import sys, pydantic\nsys.version, sys.prefix")
    assert result["result"] == repr((sys.version, sys.prefix))


async def test_classes_pickle_and_processes_fork() -> None:
    code = (
        "import os, pickle\nclass Point:\n    x = 1\n"
        "assert pickle.loads(pickle.dumps(Point())).x == 1\n"
        "pid = os.fork()\n"
        "if pid == 0:\n    print('child', flush=True); os._exit(0)\n"
        "os.waitpid(pid, 0)[1]"
    )
    result = await run(code)
    assert (result["stdout"], result["result"], result["error"]) == ("child\n", "0", None)


async def test_a_forked_copy_cannot_answer_in_its_place() -> None:
    result = await run("import os\nx = os.fork()\nif x:\n    os.waitpid(x, 0)\nx > 0")
    assert (result["result"], result["error"]) == ("True", None)
    assert (await run("'one'"))["result"] == "'one'"
    assert (await run("'two'"))["result"] == "'two'"


async def test_calls_of_one_subtask_wait_for_each_other() -> None:
    await run("n = 0")
    results = await asyncio.gather(*(run("n += 1\nn") for _ in range(5)))
    assert sorted(result["result"] for result in results) == ["1", "2", "3", "4", "5"]


async def test_a_cancelled_call_leaves_nothing_behind(marker: str) -> None:
    running = asyncio.create_task(run(f"import subprocess\nsubprocess.run(['sleep', '{marker}'])"))
    deadline = time.monotonic() + 10
    while not sleeping(marker):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await run("'fresh'"))["result"] == "'fresh'"
    assert await gone(marker)


async def test_long_code_goes_in() -> None:
    assert (await run(f"len('{'x' * 300_000}')"))["result"] == "300000"
