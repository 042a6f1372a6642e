"""threads size, prune, export and import, as a user calls them."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Program
from tests.engine.plans import subtask

pytestmark = pytest.mark.postgres


def test_a_thread_is_pruned_moved_and_goes_on(program: Program) -> None:
    plan = program.plan(
        subtask("a", "work", args={"name": "a", "seconds": 0.0, "logfile": str(program.folder / "log")}),
        subtask("q", "ask_human", args={"inquire": "Which?"}, needs=["a"]),
    )
    program("run", "--plan", plan, "--tools", program.tools, "--thread", "t", code=3)
    out, _ = program("threads", "size")
    assert out.split("\n")[0].split() == [
        "THREAD", "STATUS", "POINTS", "CHECKPOINTS", "WRITES", "EVENTS", "OTHER", "FILES", "TOTAL",
    ]  # fmt: skip
    before = json.loads(program("threads", "size", "t", "--json")[0])[0]["points"]
    assert "nothing to prune" in program("threads", "prune", "--older-than", "30d")[0]
    assert "nothing to prune" in program("threads", "prune", "--status", "completed")[0]
    (planned,) = json.loads(program("threads", "prune", "t", "--dry-run", "--json")[0])
    assert planned["kept"] + planned["points"] == before
    program("threads", "prune", "t", code=130)  # nobody is there to say yes
    out, _ = program("threads", "prune", "--status", "waiting", "--yes")
    assert f"{planned['points']} points with" in out
    assert json.loads(program("threads", "size", "t", "--json")[0])[0]["points"] == planned["kept"]

    _, err = program("threads", "export", "t", "t.thread")
    assert err.startswith("Exported t: ")
    _, err = program("threads", "export", "t", "t.thread", code=2)
    assert "already a file" in err
    _, err = program("threads", "import", "t.thread", code=2)
    assert "already a thread 't'" in err
    assert "--as NEW" in err
    program("threads", "import", "t.thread", "--as", "copy", "--workspace", "there")
    out, _ = program("resume", "copy", "--answer", "blue", "--quiet")
    assert out == "answer: blue\n"
    assert program.log() == ["start a", "end a"]
    broken = (program.folder / "t.thread").read_bytes()[:-100]
    (program.folder / "t.thread").write_bytes(broken)
    _, err = program("threads", "import", "t.thread", "--as", "other", code=2)
    assert "cut short or altered" in err


def test_wrong_words_are_explained(program: Program) -> None:
    _, err = program("threads", "prune", "--older-than", "30", code=2)
    assert "no age; give such as 90m, 12h, 30d or 4w" in err
    _, err = program("threads", "prune", "nothing", code=2)
    assert "no thread" in err
    _, err = program("threads", "import", "missing", code=2)
    assert "cannot be read: No such file" in err
