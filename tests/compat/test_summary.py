"""Summary: which failures count as faults, and what is kept of a run."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.compat.__main__ import main
from tests.compat.kills import Tried
from tests.compat.runs import Ended, Run, last_failed
from tests.compat.savers import Saver
from tests.compat.suite import SuiteError
from tests.compat.summary import STOCK, STORED, Difference, Failure, differences, feature_of, features, summarize
from tests.compat.table import failures_of, table_of

TEST = "tests/test_pregel.py::test_send_sequences[memory-sync]"
OTHER = "tests/test_pregel.py::test_imp_nested[memory-sync]"


def difference(**changed: object) -> Difference:
    fields = {
        "cause": "order",
        "title": "Another order",
        "why": "So it is.",
        "savers": ("durable",),
        "tests": ("tests/test_pregel.py::test_send_*[memory-*]",),
        "said": "another order",
    }
    return Difference(**{**fields, **changed})  # type: ignore[arg-type]


def ran(saver: Saver, **ended: Ended) -> Run:
    names = {"sends": TEST, "tasks": OTHER}
    return Run(saver, {names[name]: outcome for name, outcome in ended.items()}, 1.0)


PASSED = Ended("passed")
FAILED = Ended("failed", "AssertionError: another order\nand more")


def test_documented_failure_is_no_fault() -> None:
    summary = summarize([ran(Saver.DURABLE, sends=FAILED)], [difference()], whole=True)

    assert summary.faults == []
    assert summary.failures == [Failure("durable", TEST, "AssertionError: another order", "order")]
    assert summary.unseen == []


@pytest.mark.parametrize(
    "changed", [{"savers": ("ours",)}, {"tests": ("tests/test_pregel.py::test_imp_*",)}, {"said": "a refusal"}]
)
def test_failure_for_another_reason_is_a_fault(changed: dict[str, object]) -> None:
    summary = summarize([ran(Saver.DURABLE, sends=FAILED)], [difference(**changed)], whole=True)

    assert [failure.test for failure in summary.faults] == [TEST]
    assert summary.unseen == ["order"]


def test_failure_of_langgraphs_own_saver_is_no_fault_of_ours() -> None:
    runs = [ran(Saver.POSTGRES, sends=FAILED, tasks=PASSED), ran(Saver.OURS, sends=FAILED, tasks=FAILED)]
    summary = summarize(runs, [], whole=True)

    assert [(failure.test, failure.cause) for failure in summary.failures] == [(TEST, STOCK), (OTHER, None)]


def test_difference_that_was_not_run_is_not_out_of_date() -> None:
    assert summarize([ran(Saver.OURS, sends=PASSED)], [difference()], whole=False).unseen == []


def test_what_failed_last_time_is_what_failed_when_it_was_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.compat.runs.BUILD", tmp_path)
    with pytest.raises(SuiteError, match="not run whole"):
        last_failed(Saver.OURS)

    def ended(which: str, **tests: str) -> None:
        said = {{"sends": TEST, "tasks": OTHER}[name]: {"outcome": outcome} for name, outcome in tests.items()}
        (tmp_path / f"ours-{which}.json").write_text(json.dumps(said))

    ended("all", sends="failed", tasks="failed")
    assert last_failed(Saver.OURS) == [TEST, OTHER]
    ended("again", sends="passed", tasks="failed")
    assert last_failed(Saver.OURS) == [OTHER]
    ended("again", sends="passed", tasks="passed")
    with pytest.raises(SuiteError, match="No test failed"):
        last_failed(Saver.OURS)


def test_a_library_that_fails_is_told() -> None:
    tried = [Tried("deepagents", "1.0", "all of it", Ended("failed", "paid for twice"))]
    summary = summarize([], [], whole=False, tried=tried)

    assert [(one.library, one.outcome) for one in summary.libraries] == [("deepagents", "failed")]
    assert json.loads(summary.as_json())["libraries"][0]["version"] == "1.0"


def test_figures_are_by_file_and_by_feature() -> None:
    summary = summarize([ran(Saver.OURS, sends=PASSED, tasks=FAILED)], [], whole=False)
    known = features()

    assert summary.files == {"tests/test_pregel.py": {"ours": {"passed": 1, "failed": 1, "skipped": 0}}}
    assert {name: savers["ours"]["passed"] for name, savers in summary.features.items()} == {
        feature_of(OTHER, known): 0,
        feature_of(TEST, known): 1,
    }


def test_tables_name_every_failure_and_its_cause() -> None:
    summary = summarize([ran(Saver.DURABLE, sends=FAILED, tasks=FAILED)], [difference()], whole=True)

    assert "tests/test_pregel.py" in table_of(summary)
    told = failures_of(summary)
    assert told.index("Faults (1)") < told.index(OTHER) < told.index("Another order (1)") < told.index(TEST)


@pytest.mark.parametrize("part", [["-k", "interrupt"], ["--saver", "ours"], ["--last"], ["--libraries"]])
def test_figures_of_a_part_are_not_stored(part: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--store", *part])

    assert "--store needs everything" in capsys.readouterr().err


def test_stored_figures_are_of_the_installed_version_and_the_committed_table() -> None:
    stored = json.loads(STORED.read_text(encoding="utf-8"))

    assert stored["versions"]["langgraph"] == version("langgraph"), "run: make compat ARGS=--store && make docs"
    assert [row["cause"] for row in stored["differences"]] == [row.cause for row in differences()]
