"""Reading plans from YAML and JSON files, and what is said about files that cannot be."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from openmanus_graph.errors import PlanError
from openmanus_graph.plan import Plan

PLAN = """\
# a comment
goal: Measure the logs
subtasks:
  - id: list
    tool: list_files
    args: {pattern: "*.log"}
  - id: count
    tool: bash
    args:
      command: |
        wc -l ${list.files.0}
    needs: [list]
    retries: 2
    timeout_s: 30
  - id: report
    agent: executor
    goal: Write up ${count.stdout}
"""


def write(folder: Path, text: str | bytes, name: str = "plan.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path) -> str:
    """The problems of a file as one text, which must name the file."""
    with pytest.raises(PlanError) as caught:
        Plan.from_file(path)
    assert caught.value.source == str(path)
    assert str(path) in str(caught.value)
    assert "Traceback" not in str(caught.value)
    return "\n".join(caught.value.problems)


def test_yaml_json_and_data_give_the_same_plan(tmp_path: Path) -> None:
    plan = Plan.from_file(write(tmp_path, PLAN))
    assert [subtask.id for subtask in plan.subtasks] == ["list", "count", "report"]
    assert plan.subtasks[1].args == {"command": "wc -l ${list.files.0}\n"}
    assert plan.subtasks[1].timeout_s == 30.0
    data = plan.to_dict()
    assert data["subtasks"][2] == {"id": "report", "goal": "Write up ${count.stdout}", "agent": "executor"}
    text = json.dumps(data)
    for name in ("plan.json", "plan.yaml", "plan"):
        assert Plan.from_file(write(tmp_path, text, name)) == plan
    assert Plan.from_dict(data) == plan
    assert Plan.parse(data) == plan
    assert Plan.parse(plan) is plan
    assert Plan.from_file(write(tmp_path, plan.to_yaml())) == plan


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_in_any_unicode_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    text = PLAN.replace("Measure the logs", "Größe 🐘 messen")
    assert Plan.from_file(write(tmp_path, text.encode(encoding))).goal == "Größe 🐘 messen"


def test_windows_line_ends_are_read(tmp_path: Path) -> None:
    assert Plan.from_file(write(tmp_path, PLAN.replace("\n", "\r\n"))) == Plan.from_file(write(tmp_path, PLAN))


def test_words_that_only_yaml_1_1_reads_as_other_values_are_text(tmp_path: Path) -> None:
    text = (
        "subtasks:\n- id: on\n  tool: t\n  args: {a: yes, b: 2020-01-01, c: 1e3, d: 010, e: 12:30, f: 1_000, "
        'g: 0o17, i: "5", j: 0x1f, k: -1.5, l: ~, m: true, n: !!str 7, o: 1.0e+3, p: }\n'
    )
    plan = Plan.from_file(write(tmp_path, text))
    assert plan.subtasks[0].id == "on"
    assert plan.subtasks[0].args == {
        "a": "yes", "b": "2020-01-01", "c": "1e3", "d": "010", "e": "12:30", "f": "1_000", "g": "0o17",
        "i": "5", "j": 31, "k": -1.5, "l": None, "m": True, "n": "7", "o": 1000.0, "p": None,
    }  # fmt: skip


def test_anchors_and_merge_keys_are_read(tmp_path: Path) -> None:
    text = (
        "subtasks:\n"
        "- {id: a, tool: t, args: &base {x: 1, y: [1]}}\n"
        "- {id: b, tool: t, args: {<<: *base, x: 2}}\n"
        "- {id: c, tool: t, args: *base}\n"
    )
    first, second, third = Plan.from_file(write(tmp_path, text)).subtasks
    assert second.args == {"x": 2, "y": [1]}
    assert third.args == first.args
    assert third.args is not first.args


def test_what_is_wrong_with_the_file_itself_is_said(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "missing.yaml")
    assert "folder" in refused(tmp_path)
    assert "empty" in refused(write(tmp_path, ""))
    assert "empty" in refused(write(tmp_path, " \n\n", "plan.json"))
    assert "nothing but comments" in refused(write(tmp_path, "# nothing\n"))
    assert "not a text file" in refused(write(tmp_path, b"\x7fELF\x02\x01\xff\xfe\x00"))
    assert "not a text file" in refused(write(tmp_path, b"goal: x\x00y"))
    assert "line 2: " in refused(write(tmp_path, b"goal: x\n\x1b[0m"))
    assert "a list of 2" in refused(write(tmp_path, "- a\n- b\n"))
    assert "'just words'" in refused(write(tmp_path, "just words\n"))
    assert "3" in refused(write(tmp_path, "3", "plan.json"))
    assert "cannot be read" in refused(Path("/proc/self/mem"))


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, PLAN)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything
        assert Plan.from_file(path).goal
    else:
        assert "may not be read" in refused(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("goal: x\nsubtasks: [\n", ["line 3, column 1", "not YAML"]),
        ("goal: x\n\tsubtasks: 3", ["line 2", "not YAML"]),
        ("goal: 'open\n", ["not YAML"]),
        ("goal: x\ngoal: y\nsubtasks: []\n", ["line 2", "'goal' appears twice", "first on line 1"]),
        ("subtasks:\n- id: a\n  tool: t\n  tool: u\n", ["line 4", "'tool' appears twice", "line 3"]),
        ("a: 1\n---\nb: 2\n", ["line 2", "more than one document"]),
        ("subtasks: &s\n- *s\n", ["line 2", "cannot contain itself"]),
        ("subtasks: *s\n", ["line 1", "names no anchor"]),
        ("? [a]\n: b\n", ["line 1", "used as a key"]),
        ("subtasks:\n- {1: a}\n", ["line 2", "the key 1 is not text"]),
        ("goal: !!python/object:os.system x\n", ["line 1", "tag"]),
        ("goal: !!binary aGk=\n", ["line 1", "tag"]),
        ("goal: !!int x\n", ["line 1", "'!!int'"]),
        ("subtasks: !mine []\n", ["line 1", "tag '!mine'"]),
        ("subtasks:\n- {<<: 3}\n", ["line 2", "'<<'"]),
        ("goal: " + "[" * 60 + "]" * 60, ["nested more than 50"]),
        ("goal: " + "9" * 5000, ["too many digits"]),
    ],
)
def test_yaml_faults_have_their_line(tmp_path: Path, text: str, words: list[str]) -> None:
    problems = refused(write(tmp_path, text))
    for word in words:
        assert word in problems


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"goal": "x",\n "subtasks": [}', ["line 2, column 15", "not JSON"]),
        ('{"goal": "x", "goal": "y"}', ["'goal' appears twice"]),
        ('{"a": ' + "[" * 100_000, ["nested"]),
        ('{"a": ' + "9" * 5000 + "}", ["number"]),
        ('{"subtasks": [{"id": "a", "tool": "t", "args": {"x": NaN}}]}', ["'a'", "'args.x' is nan"]),
        ('{"subtasks": [{"id": "a", "tool": "t", "args": {"x": 1e999}}]}', ["'args.x' is inf"]),
        ('{"subtasks": [{"id": "a", "tool": "t", "args": {"x": "\\ud800"}}]}', ["'args.x'", "surrogate"]),
    ],
)
def test_json_faults_are_said(tmp_path: Path, text: str, words: list[str]) -> None:
    problems = refused(write(tmp_path, text, "plan.json"))
    for word in words:
        assert word in problems


def test_problems_of_a_yaml_plan_have_their_line(tmp_path: Path) -> None:
    text = PLAN.replace("needs: [list]", "needs: [lost]").replace("retries: 2", "retries: -2")
    text = text.replace("agent: executor", "agent: executor\n    tool: bash").replace("goal: Write", "gaol: Write")
    assert refused(write(tmp_path, text)).splitlines() == [
        "line 12: subtask 'count': needs 'lost', which is no subtask of the plan; did you mean 'list'?",
        "line 13: subtask 'count': 'retries' must be 0 or more, not -2",
        "line 15: subtask 'report': has both a tool and an agent; remove one of them",
        "line 18: subtask 'report': has the unknown field 'gaol'; did you mean 'goal'?",
    ]


def test_the_lines_are_still_known_when_tools_are_checked_later(tmp_path: Path) -> None:
    plan = Plan.from_file(write(tmp_path, PLAN))
    with pytest.raises(PlanError) as caught:
        plan.check(tools={}, agents=["executer"])
    assert caught.value.problems[1] == "line 8: subtask 'count': names the unknown tool 'bash'; there are no tools"
    assert "line 16: subtask 'report': names the unknown agent" in caught.value.problems[2]
    assert caught.value.source == str(tmp_path / "plan.yaml")


def test_a_file_can_be_checked_against_tools_in_one_go(tmp_path: Path) -> None:
    path = write(tmp_path, PLAN.replace("needs: [list]", "needs: [lost]"))
    with pytest.raises(PlanError) as caught:
        Plan.from_file(path, tools={}, agents=[], max_subtasks=2)
    problems = "\n".join(caught.value.problems)
    for word in ("needs 'lost'", "unknown tool 'list_files'", "unknown agent", "at most 2"):
        assert word in problems


def test_a_billion_laughs_are_not_waited_for(tmp_path: Path) -> None:
    lines = ["subtasks:", "- id: a", "  tool: t", "  args:", "    l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"    l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert "more than" in refused(write(tmp_path, "\n".join(lines)))
    merges = ["- &m0 {" + ", ".join(f"k{n}: 0" for n in range(1000)) + "}"]
    merges += ["- {<<: [" + ", ".join(["*m0"] * 5000) + "]}"]
    assert "'<<'" in refused(write(tmp_path, "subtasks:\n" + "\n".join(merges)))


def test_a_file_that_is_too_large_is_refused() -> None:
    assert "larger than 64 MiB" in refused(Path("/dev/zero"))
