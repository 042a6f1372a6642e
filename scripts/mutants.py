#!/usr/bin/env python3
"""Mutants: changes the code in small ways, one at a time, and lists the changes that no test noticed.

    python scripts/mutants.py                     every area: at most 300 mutants each; hours
    python scripts/mutants.py plans --sample 60   some of one area
    python scripts/mutants.py plans --report      what is known of it, without running anything

The same seed takes the same mutants. A run that was ended goes on where it was, as long as sources, tests, seed and
sample are the same; results are in build/mutants. Mutants are made in a copy of the project, never in the project.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
import os
import queue
import random
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import cosmic_ray.plugins
import parso.python.tree
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.testing import run_tests
from cosmic_ray.work_item import TestOutcome
from coverage import CoverageData

TOP = Path(__file__).resolve().parents[1]
PLACE = TOP / "build" / "mutants"
SAMPLE = 300
PLUGINS = ("pytest_asyncio.plugin", "_hypothesis_pytestplugin", "pytest_timeout", "pytest_cov.plugin")
"""Of pytest: the ones that the tests need. Loading whatever is installed takes longer than many a mutant's tests."""

Span = tuple[tuple[int, int], tuple[int, int]]
"""Line and column of the first character, and of the one after the last."""


@dataclass(frozen=True)
class Area:
    """A part of the package whose mistakes cost most, and the tests that should notice them."""

    sources: tuple[str, ...]
    """Modules, or folders of them."""
    tests: tuple[str, ...]
    """Test files that call it in their own process: code of another process is not seen to be run."""
    patience: int
    """Seconds that one test may take before the mutant counts as one that never ends."""


AREAS = {
    "plans": Area(("openmanus_graph/plans",), ("tests/plan",), 60),
    "forking": Area(
        ("openmanus_graph/checkpoints/forking",),
        tuple(f"tests/travel/test_{name}.py" for name in ("going_back", "workspaces", "effects", "own_graphs")),
        180,
    ),
    "dispatcher": Area(
        ("openmanus_graph/nodes/dispatcher.py",),
        tuple(f"tests/engine/test_{name}.py" for name in ("dispatch", "failures", "questions")),
        120,
    ),
    "policy": Area(
        ("openmanus_graph/policy.py",), ("tests/agent/test_policy.py", "tests/agent/test_approvals.py"), 120
    ),
}


@dataclass(frozen=True)
class Mutant:
    """One change to one place."""

    path: str
    """The module, relative to the project."""
    operator: str
    """What is done to the place."""
    occurrence: int
    """Which of the places in the module to which it can be done."""
    line: int
    definition: str
    """The function or class around it; empty at the top of a module."""


@dataclass(frozen=True)
class Result:
    """What became of a mutant."""

    mutant: Mutant
    outcome: str
    """`killed`, `too long`, `survived`, or `not run`: no test of the area comes there."""
    tests: int
    """How many test functions were called."""
    seconds: float
    before: str
    after: str


# ---------------------------------------------------------------- the mutants


class DropCall(Operator):
    """Leave out a statement that only calls something; log messages are not worth a test."""

    @classmethod
    def arguments(cls) -> tuple[()]:
        """None."""
        return ()

    @classmethod
    def examples(cls) -> tuple[()]:
        """None: cosmic-ray asks for them in its own tests."""
        return ()

    def mutation_positions(self, node: parso.python.tree.PythonNode) -> Iterator[Span]:
        """Where it can be done."""
        alone = getattr(node.parent, "type", "") == "simple_stmt" and node.type in ("atom_expr", "power")
        if alone and not node.get_code(include_prefix=False).startswith(("_log.", "logger.", "log.")):
            yield node.start_pos, node.end_pos

    def mutate(self, node: parso.python.tree.PythonNode, index: int) -> parso.python.tree.Name:
        """Do it."""
        del index
        return parso.python.tree.Name("pass", node.start_pos, prefix=node.get_first_leaf().prefix)


class ReturnNone(DropCall):
    """Return `None` in place of what is returned; in place of `False` it would often say the same."""

    def mutation_positions(self, node: parso.python.tree.PythonNode) -> Iterator[Span]:
        """Where it can be done."""
        returned = getattr(node.parent, "type", "") == "return_stmt" and node is node.parent.children[1]
        if returned and node.get_code(include_prefix=False) not in ("None", "False"):
            yield node.start_pos, node.end_pos

    def mutate(self, node: parso.python.tree.PythonNode, index: int) -> parso.python.tree.Name:
        """Do it."""
        del index
        return parso.python.tree.Name("None", node.start_pos, prefix=" ")


def operators() -> dict[str, Operator]:
    """Everything that can be done to a place, by name: cosmic-ray's operators that need no arguments, and ours."""
    classes = {name: cosmic_ray.plugins.get_operator(name) for name in cosmic_ray.plugins.operator_names()}
    theirs = {name.removeprefix("core/"): each() for name, each in classes.items() if not each.arguments()}
    return {**theirs, "DropCall": DropCall(), "ReturnNone": ReturnNone()}


def modules(sources: Iterable[str]) -> list[str]:
    """The modules of files and folders, relative to the project."""
    paths = [TOP / source for source in sources]
    found = [one for path in paths for one in (path.rglob("*.py") if path.is_dir() else [path])]
    return sorted(str(path.relative_to(TOP)) for path in found)


def sample(area: Area, name: str, size: int, seed: int) -> list[Mutant]:
    """A sample of an area's mutants: each place once, with one of what can be done to it.

    Otherwise the five other comparisons at every `==` would outnumber all else.
    """
    places: dict[tuple[str, Span], list[Mutant]] = {}
    for path in modules(area.sources):
        text = (TOP / path).read_text(encoding="utf-8")
        nodes = list(ast_nodes(get_ast(text)))
        unseen = annotation_spans(text)
        for operator, changer in operators().items():
            positions = ((node, *position) for node in nodes for position in changer.mutation_positions(node))
            for occurrence, (node, start, end) in enumerate(positions):
                if any(first <= start and end <= last for first, last in unseen):
                    continue
                around = ASTQuery(node).get_definition_name() or ""
                places.setdefault((path, (start, end)), []).append(Mutant(path, operator, occurrence, start[0], around))
    chooser = random.Random(f"{seed} {name}")  # noqa: S311  # the same sample again is the point
    chosen = chooser.sample(sorted(places), min(size, len(places)))
    return [chooser.choice(places[place]) for place in chosen]


def annotation_spans(text: str) -> list[Span]:
    """Where the annotations are: nothing reads them when the code runs, so no test could notice."""
    found: list[Span] = []
    for node in ast.walk(ast.parse(text)):
        for one in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(one, ast.expr):
                found.append(((one.lineno, one.col_offset), (one.end_lineno or 0, one.end_col_offset or 0)))
    return found


# ---------------------------------------------------------------- running the tests


def copy(name: str) -> Path:
    """A copy of what git keeps or would keep, in which mutants are made."""
    tree = PLACE / name
    shutil.rmtree(tree, ignore_errors=True)
    listing = ["git", "-c", f"safe.directory={TOP}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=TOP, check=True, capture_output=True)
    for file in filter(None, listed.stdout.decode().split("\0")):
        if (TOP / file).is_file() and not (TOP / file).is_symlink():
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(TOP / file, tree / file)
    return tree


def command(tree: Path, arguments: Iterable[str], before: Iterable[str] = ()) -> str:
    """A call of pytest in the copy, whose modules are found before the installed ones."""
    variables = [f"PYTHONPATH={tree}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", *before]
    plugins = [word for name in ("no:cacheprovider", *PLUGINS) for word in ("-p", name)]
    call = [*variables, sys.executable, "-m", "pytest", "-q", "-x", *plugins]
    return shlex.join(["sh", "-c", f"cd {shlex.quote(str(tree))} && exec env {shlex.join([*call, *arguments])}"])


def tests_by_line(area: Area, name: str, tree: Path) -> dict[str, dict[int, set[str]]]:
    """Which test functions run each line, from one run of the tests as they are."""
    data = PLACE / f"{name}.coverage"
    data.unlink(missing_ok=True)
    started = time.monotonic()
    measured = ["--cov=openmanus_graph", "--cov-context=test", "--cov-report=", "--cov-fail-under=0"]
    outcome, said = run_tests(command(tree, [*measured, *area.tests], [f"COVERAGE_FILE={data}"]), None)
    if outcome is not TestOutcome.SURVIVED:
        raise SystemExit(f"{said[-3000:]}\nThe tests of {name!r} fail without a mutant: mend them first.")
    print(f"{name}: the tests take {time.monotonic() - started:.0f} s as they are", flush=True)
    found: dict[str, dict[int, set[str]]] = {}
    with_contexts = CoverageData(str(data))
    with_contexts.read()
    for path in modules(area.sources):
        lines = with_contexts.contexts_by_lineno(str(tree / path))
        found[path] = {line: {_function(one) for one in contexts} for line, contexts in lines.items()}
    return found


def _function(context: str) -> str:
    """`tests/a.py::test_b[c]|run` is run by `tests/a.py::test_b`; what runs on import is everybody's, and empty."""
    return context.partition("|")[0].partition("[")[0]


def judge(mutant: Mutant, area: Area, lines: dict[int, set[str]], tree: Path) -> Result:
    """Make a mutant, run the tests that come there, and take it back."""
    started = time.monotonic()
    path = tree / mutant.path
    original = path.read_text(encoding="utf-8")
    mutated = mutate_code(original, operators()[mutant.operator], mutant.occurrence)
    if mutated is None:
        raise RuntimeError(f"{mutant!r} changes nothing: the copy is not the project.")
    before, after = _changed(original, mutated)
    calling = _callers(mutant, original, lines)
    if calling is not None and not calling:
        return Result(mutant, "not run", 0, 0.0, before, after)
    tests = area.tests if calling is None else sorted(calling)
    path.write_text(mutated, encoding="utf-8")
    try:
        limit = area.patience + 60 + 10 * len(tests)
        outcome, said = run_tests(command(tree, [f"--timeout={area.patience}", *tests]), max(limit, 5 * area.patience))
    finally:
        path.write_text(original, encoding="utf-8")
    if outcome is TestOutcome.INCOMPETENT:
        raise RuntimeError(said)
    word = "survived" if outcome is TestOutcome.SURVIVED else "killed"
    word = "too long" if said == "timeout" or "Failed: Timeout (" in said else word
    return Result(mutant, word, 0 if calling is None else len(tests), time.monotonic() - started, before, after)


def _callers(mutant: Mutant, original: str, lines: dict[int, set[str]]) -> set[str] | None:
    """The test functions that run the statement; `None` for all, where it runs on import."""
    inside: list[range] = []
    for node in ast.walk(ast.parse(original)):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            inside.append(range(node.lineno, max(last, node.lineno) + 1))
    statement = min((one for one in inside if mutant.line in one), key=len, default=range(mutant.line, mutant.line + 1))
    calling = set[str]().union(*(lines.get(line, set()) for line in statement))
    return None if "" in calling else calling


def _changed(original: str, mutated: str) -> tuple[str, str]:
    """The lines that differ, before and after."""
    matcher = difflib.SequenceMatcher(None, before := original.splitlines(), after := mutated.splitlines(), False)
    for tag, first, last, other_first, other_last in matcher.get_opcodes():
        if tag != "equal":
            return "\n".join(before[first:last]), "\n".join(after[other_first:other_last])
    raise RuntimeError("The mutant is the original.")


# ---------------------------------------------------------------- the areas


def fingerprint(area: Area, mutants: list[Mutant]) -> str:
    """What the results of an area hold for."""
    digest = hashlib.sha256(repr(mutants).encode())
    for path in [*modules(area.sources), *modules(area.tests)]:
        digest.update((TOP / path).read_bytes())
    return digest.hexdigest()


def known(name: str, holds_for: str | None) -> list[Result]:
    """The results so far; none if they are of other sources, and whatever is there if `holds_for` is `None`."""
    file = PLACE / f"{name}.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    if not lines or (holds_for is not None and json.loads(lines[0]) != holds_for):
        return []
    rows = [json.loads(line) for line in lines[1:] if line.endswith("}")]  # the last may be cut short
    return [Result(**{**row, "mutant": Mutant(**row["mutant"])}) for row in rows]


def run(name: str, size: int, seed: int, workers: int) -> None:
    """Judge the mutants of an area that were not judged yet."""
    area = AREAS[name]
    wanted = sample(area, name, size, seed)
    holds_for = fingerprint(area, wanted)
    done = known(name, holds_for)
    left = [mutant for mutant in wanted if mutant not in {result.mutant for result in done}]
    print(f"{name}: {len(wanted)} mutants, {len(done)} of them judged before", flush=True)
    if not left:
        return
    trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
    copies = [copy(f"{name}-{number}") for number in range(workers)]
    callers = tests_by_line(area, name, copies[0])
    for tree in copies:
        trees.put(tree)

    def judged(mutant: Mutant) -> Result:
        tree = trees.get()
        try:
            return judge(mutant, area, callers[mutant.path], tree)
        finally:
            trees.put(tree)

    started = time.monotonic()
    with (PLACE / f"{name}.jsonl").open("w", encoding="utf-8") as file, ThreadPoolExecutor(workers) as pool:
        file.write("".join(f"{json.dumps(row)}\n" for row in [holds_for, *map(asdict, done)]))
        running = [pool.submit(judged, mutant) for mutant in left]
        try:
            for number, one in enumerate(as_completed(running), start=1):
                result = one.result()
                file.write(f"{json.dumps(asdict(result))}\n")
                file.flush()
                minutes = (time.monotonic() - started) / number * (len(left) - number) / 60
                where = f"{result.mutant.path}:{result.mutant.line}"
                print(
                    f"{name} {len(done) + number}/{len(wanted)} {result.outcome:8} {where} {result.seconds:.0f} s"
                    f" ({minutes:.0f} minutes left)",
                    flush=True,
                )
        except KeyboardInterrupt:
            print("Ending with the mutants in hand; the same call goes on from there.", flush=True)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def report(name: str) -> str:
    """The score of an area, and the mutants that no test noticed."""
    results = known(name, None)
    count = Counter(result.outcome for result in results)
    noticed = count["killed"] + count["too long"]
    if not results:
        return f"{name}: nothing is known; run: make mutants ARGS={name}"
    lines = [
        f"{name}: {noticed} of {len(results)} mutants noticed, {100 * noticed / len(results):.0f} %"
        f" ({count['too long']} by taking too long); {count['survived']} survived, {count['not run']} run by no test"
    ]
    for result in sorted(results, key=lambda result: (result.mutant.path, result.mutant.line)):
        if result.outcome in ("survived", "not run"):
            tests = "no test" if result.outcome == "not run" else f"{result.tests or 'all'} tests"
            lines.append(f"\n  {result.mutant.path}:{result.mutant.line} {result.mutant.definition}  {tests}")
            lines += [f"    - {line.strip()}" for line in result.before.splitlines()]
            lines += [f"    + {line.strip()}" for line in result.after.splitlines()]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Read the arguments, run, and print what survived."""
    parser = argparse.ArgumentParser(prog="make mutants ARGS=...", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"of {', '.join(AREAS)}; by default all")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="mutants an area, at most (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another one takes other mutants")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="mutants at a time (default %(default)s)")
    parser.add_argument("--report", action="store_true", help="print what is known, and run nothing")
    said = parser.parse_args(arguments)
    if unknown := [area for area in said.areas if area not in AREAS]:
        parser.error(f"there is no area {unknown[0]!r}; there are {', '.join(AREAS)}")
    PLACE.mkdir(parents=True, exist_ok=True)
    for area in said.areas or AREAS:
        if not said.report:
            run(area, said.sample, said.seed, said.workers)
        print(f"\n{report(area)}\n", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
