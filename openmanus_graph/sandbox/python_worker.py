"""Python_worker: the interpreter inside the sandbox that runs Python code and keeps its variables.

Handed to `python -c` as text, with two descriptors as arguments: requests come in as JSON lines on the first,
answers go out on the second, and whatever the code prints takes the ordinary way. Standard library only.
"""

from __future__ import annotations

import ast
import io
import json
import linecache
import os
import sys
import traceback
import types
from typing import Any

LONGEST = 1_000_000
"""Characters of a result or a traceback that are sent back."""

CO_COROUTINE = 0x80
"""Flag of code that awaits at its top level; `inspect`, which names it, takes too long to import."""

_runner: Any = None
"""The event loop of code that awaits at its top level, made for the first one."""


def main() -> None:
    """Serve requests until the other side goes away."""
    requests, answers = int(sys.argv[1]), int(sys.argv[2])
    for descriptor in (requests, answers):
        os.set_inheritable(descriptor, False)
    sys.argv = [""]
    sys.path.insert(0, "")
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    own = os.getpid()
    kept = {number: os.dup(number) for number in (1, 2)}
    # Kept away from the code, which may replace or close what it finds in `sys`.
    _answer(answers, {"ready": own})
    count = 0
    with open(requests, "rb", closefd=False) as lines:
        for line in lines:
            count += 1
            _restore_streams(kept)
            answer = _run(json.loads(line)["code"], module.__dict__, f"<code {count}>")
            if os.getpid() != own:
                # A fork of the code's own came back here; only the original may answer.
                os._exit(0)
            _answer(answers, answer)


def _answer(descriptor: int, value: dict[str, Any]) -> None:
    data = json.dumps(value).encode() + b"\n"
    while data:
        data = data[os.write(descriptor, data) :]


def _restore_streams(kept: dict[int, int]) -> None:
    """Give `sys.stdout` and `sys.stderr` back where earlier code replaced or closed them.

    Args:
        kept: A copy of each descriptor, by its number.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(kept[number], number)
        stream: Any = getattr(sys, f"__{name}__")
        if stream is None or stream.closed:
            raw = io.FileIO(number, "w", closefd=False)
            stream = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)  # type: ignore[type-var]
            setattr(sys, f"__{name}__", stream)
        setattr(sys, name, stream)


def _evaluate(tree: ast.Module | ast.Expression, name: str, variables: dict[str, Any]) -> Any:
    """The value of code, which may await at its top level."""
    global _runner  # noqa: PLW0603 - one loop for all code, so that what one call began the next can await
    mode = "eval" if isinstance(tree, ast.Expression) else "exec"
    code = compile(tree, name, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    value = eval(code, variables)  # noqa: S307 - running code is what this is for
    if not code.co_flags & CO_COROUTINE:
        return value
    if _runner is None:
        import asyncio

        _runner = asyncio.Runner()
    return _runner.run(value)


def _run(code: str, variables: dict[str, Any], name: str) -> dict[str, Any]:
    """Run `code`; the value of its last expression as text, or the traceback."""
    result: str | None = None
    error: str | None = None
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    try:
        tree = ast.parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        _evaluate(tree, name, variables)
        if isinstance(last, ast.Expr):
            value = _evaluate(ast.Expression(last.value), name, variables)
            if value is not None:
                variables["_"] = value
                result = _short(repr(value))
        _save_figures()
    except BaseException as problem:  # noqa: BLE001 - also SystemExit: the code ends, the worker goes on
        if not isinstance(problem, SystemExit) or problem.code not in (None, 0):
            error = _short(_explain(problem, name))
    _flush()
    return {"result": result, "error": error}


def _explain(problem: BaseException, name: str) -> str:
    """The traceback from the code's own first line on, our frames left out."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != name:
        trace = trace.tb_next
    try:
        return "".join(traceback.format_exception(type(problem), problem, trace)).rstrip("\n")
    except Exception:  # noqa: BLE001 - an exception whose own text fails still has a type
        return f"{type(problem).__name__}: its message cannot be shown"


def _short(text: str) -> str:
    # Surrogates and NUL cannot be stored outside.
    text = text.encode("utf-8", errors="backslashreplace").decode().replace("\0", "\\x00")
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]}\n[... {len(text) - LONGEST:,} characters left out ...]\n{text[-half:]}"


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            # The code closed or replaced it: there is nothing left to flush.
            continue


def _save_figures() -> None:
    """Save what matplotlib drew, if the code used it, as `figure-<n>.png` with the next free numbers."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    number = 1
    for figure in pyplot.get_fignums():
        while os.path.exists(f"figure-{number}.png"):  # noqa: PTH110 - the folder may be gone
            number += 1
        pyplot.figure(figure).savefig(f"figure-{number}.png")
        pyplot.close(figure)


if __name__ == "__main__":
    main()
