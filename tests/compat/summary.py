"""Summary: what the runs came to, by file, by feature and by cause; stored as JSON, printed as a table."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from .kills import Tried
from .runs import Run
from .savers import Saver

FOLDER = Path(__file__).parent

STORED = FOLDER.parents[1] / "docs" / "data" / "compat.json"
"""What the documentation's page is made from."""

PACKAGES = ("langgraph", "langgraph-checkpoint", "langgraph-checkpoint-postgres", "langgraph-prebuilt")
"""Whose versions are stored beside the figures."""

OURS = (Saver.OURS, Saver.DURABLE)
"""Where a failure is ours."""

STOCK = "stock"
"""The cause of a failure that LangGraph's own saver has as well."""


@dataclass(frozen=True)
class Difference:
    """Something that is otherwise than in LangGraph on purpose, and which of its tests therefore fail."""

    cause: str
    """Its name."""

    title: str
    """It, in a few words."""

    why: str
    """Why it is so, and what a user does instead."""

    savers: tuple[str, ...]
    """Where it shows: `ours`, `durable`."""

    tests: tuple[str, ...]
    """The tests that fail by it, as patterns of `fnmatch` over their ids."""

    said: str
    """An expression that finds the failure's message: another failure of the same test is a fault."""

    def explains(self, saver: Saver, test: str, said: str) -> bool:
        """Whether it is the cause of a failure."""
        return (
            saver in self.savers
            and any(fnmatchcase(test, _literally(pattern)) for pattern in self.tests)
            and re.search(self.said, said) is not None
        )


@dataclass(frozen=True)
class Failure:
    """A test that failed on ours."""

    saver: str
    test: str
    said: str
    """The first line of the message."""

    cause: str | None
    """The difference that explains it, `stock`, or `None`: a fault."""


@dataclass(frozen=True)
class LibraryOutcome:
    """A library that is built on LangGraph, and how its graph fared when it was killed and resumed."""

    library: str
    version: str
    tries: str
    """What of it the graph uses."""

    outcome: str
    """`passed` or `failed`."""


@dataclass(frozen=True)
class Summary:
    """The figures."""

    versions: dict[str, str]
    """LangGraph's packages."""

    files: dict[str, dict[str, dict[str, int]]]
    """File to saver to outcome to number of tests."""

    features: dict[str, dict[str, dict[str, int]]]
    """The same by feature."""

    failures: list[Failure]
    """What failed on ours."""

    differences: list[Difference]
    """Those that were seen, or all if not everything was run."""

    libraries: list[LibraryOutcome] = field(default_factory=list[LibraryOutcome])
    """Libraries that are built on LangGraph."""

    unseen: list[str] = field(default_factory=list[str])
    """Documented differences by which nothing failed: the table is out of date."""

    unsteady: list[str] = field(default_factory=list[str])
    """Tests that failed on ours at first and passed when they were run again, alone."""

    @property
    def faults(self) -> list[Failure]:
        """Failures without a documented cause."""
        return [failure for failure in self.failures if failure.cause is None]

    def totals(self) -> dict[str, dict[str, int]]:
        """Saver to outcome to number of tests."""
        summed: dict[str, dict[str, int]] = {}
        for savers in self.files.values():
            for saver, counts in savers.items():
                kept = summed.setdefault(saver, dict.fromkeys(counts, 0))
                for outcome, number in counts.items():
                    kept[outcome] += number
        return summed

    def as_json(self) -> str:
        """It as JSON, the same for the same outcomes."""
        fields = {**asdict(self), "totals": self.totals()}
        fields.pop("unsteady")  # says more about the machine
        return json.dumps(fields, indent=1, ensure_ascii=False) + "\n"


def _literally(pattern: str) -> str:
    """A pattern in which brackets, which ids of tests have, stand for themselves."""
    return pattern.replace("[", "[[]")


def differences() -> list[Difference]:
    """The committed table of deliberate differences."""
    table = tomllib.loads((FOLDER / "differences.toml").read_text(encoding="utf-8"))
    rows = cast("list[dict[str, Any]]", table.get("difference", []))
    return [Difference(**{**row, "savers": tuple(row["savers"]), "tests": tuple(row["tests"])}) for row in rows]


def features() -> dict[str, str]:
    """Feature to the expression that finds its tests, in order: the first that does counts."""
    table = tomllib.loads((FOLDER / "features.toml").read_text(encoding="utf-8"))
    return {row["name"]: row["tests"] for row in cast("list[dict[str, str]]", table["feature"])}


def feature_of(test: str, known: dict[str, str]) -> str:
    """The feature that a test is about.

    Raises:
        LookupError: If no expression finds it.
    """
    found = next((name for name, tests in known.items() if re.search(tests, test)), None)
    if found is None:
        raise LookupError(f"No feature in features.toml has the test {test!r}.")
    return found


def summarize(runs: Sequence[Run], known: Sequence[Difference], *, whole: bool, tried: Sequence[Tried] = ()) -> Summary:
    """Put runs side by side.

    Args:
        runs: One per saver.
        known: The documented differences.
        whole: Whether everything was run, so that a difference that was not seen is out of date.
        tried: How libraries fared.
    """
    groups = features()
    failures = list(_failures(runs, known))
    seen = {failure.cause for failure in failures}
    return Summary(
        versions={name: version(name) for name in PACKAGES},
        files=_counted(runs, {test: test.partition("::")[0] for run in runs for test in run.tests}),
        features=_counted(runs, {test: feature_of(test, groups) for run in runs for test in run.tests}, groups),
        failures=failures,
        differences=[difference for difference in known if difference.cause in seen or not whole],
        libraries=[LibraryOutcome(one.library, one.version, one.tries, one.ended.outcome) for one in tried],
        unseen=[difference.cause for difference in known if whole and difference.cause not in seen],
        unsteady=[f"{run.saver} {test}" for run in runs if run.saver in OURS for test in run.unsteady],
    )


def _counted(
    runs: Sequence[Run], group_of: dict[str, str], order: Iterable[str] = ()
) -> dict[str, dict[str, dict[str, int]]]:
    found = set(group_of.values())
    names = [name for name in order if name in found] or sorted(found)
    counted = {name: {str(run.saver): {"passed": 0, "failed": 0, "skipped": 0} for run in runs} for name in names}
    for run in runs:
        for test, ended in run.tests.items():
            counted[group_of[test]][run.saver][ended.outcome] += 1
    return counted


def _failures(runs: Sequence[Run], known: Sequence[Difference]) -> Iterable[Failure]:
    stock = {
        test for run in runs if run.saver not in OURS for test, ended in run.tests.items() if ended.outcome == "failed"
    }
    for run in runs:
        for test, ended in run.tests.items() if run.saver in OURS else ():
            if ended.outcome != "failed":
                continue
            cause = next((one.cause for one in known if one.explains(run.saver, test, ended.said)), None)
            said = ended.said.strip().partition("\n")[0][:300]
            yield Failure(run.saver, test, said, cause or (STOCK if test in stock else None))
