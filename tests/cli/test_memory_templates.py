"""Template commands: templates listed, shown, drawn, run, moved, rated and removed by the real program."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from openmanus_graph.testing import Reply, ScriptedServer
from tests.agent.replies import ends, verdict
from tests.cli.conftest import MakeProgram, Program
from tests.cli.ways import STEPS, TASK, imported, listed, workspace, written


def test_without_templates_the_list_says_where_they_come_from(program: Program) -> None:
    out, _ = program("memory", "templates", "list")

    assert out == "No templates yet. They are learned from requests with three steps or more.\n"


def test_a_template_written_by_hand_is_listed_shown_and_drawn(program: Program) -> None:
    key = imported(program)

    out, _ = program("memory", "templates", "list")
    assert out.splitlines()[1].split()[:4] == [key, "1/1", "100%", "yes"]
    out, _ = program("memory", "templates", "show", key[:5])
    assert f"{key}: Count the words of {{{{p1}}}} and write {{{{p2}}}} to {{{{p3}}}}" in out
    assert "p2: number" in out
    assert "w (str_replace_editor)" in out
    program("memory", "templates", "show", key, "-o", "way.svg")
    assert (program.folder / "way.svg").read_text().startswith("<svg")
    out, _ = program("memory", "templates", "show", key, "--format", "mermaid")
    assert out.startswith("flowchart")


def test_a_template_is_run_in_its_words_and_the_run_counts(program: Program) -> None:
    key = imported(program)
    words = ["count", "the", "words", "of", "a.txt", "and", "write", "60", "to", "b.txt"]
    program("memory", "templates", "run", key, *words, "--workspace", workspace(program))

    assert (program.folder / "ws" / "b.txt").read_text().split() == ["60", "3"]
    (one,) = listed(program)
    assert (one["runs"], one["worked"], one["tasks"]) == (2, 2, 2)
    assert one["steps"][0]["runs"] == 1


def test_a_template_that_is_imported_again_is_replaced(program: Program) -> None:
    key = imported(program)
    words = "Read {{p1:path}}, count its words, and leave {{p2:number}} in {{p3}}"
    out, err = program("memory", "templates", "import", written(program, task=words), "--json")

    assert json.loads(out)["key"] == key, "its steps are the same"
    assert err.startswith(f"Replaced the template {key} of the same steps, for the task: Count the words of")
    (one,) = listed(program)
    assert one["task"] == "Read {{p1}}, count its words, and leave {{p2}} in {{p3}}"
    assert one["parameters"] == {"p1": "path", "p2": "number", "p3": "words"}
    assert one["runs"] == 1


def test_templates_of_owners_are_apart(program: Program) -> None:
    anna = ("--owner", "anna")
    key = json.loads(program("memory", "templates", "import", written(program), "--json", *anna)[0])["key"]
    assert listed(program) == []
    given = ["--set", "p1=a.txt", "--set", "p2=5", "--set", "p3=c.txt", "--workspace", workspace(program)]
    program("memory", "templates", "run", key, *given, "--thread", "own", code=2)

    program("memory", "templates", "run", key, *given, "--thread", "own", *anna)
    _, err = program("threads", "rate", "own", "bad")
    assert err.endswith(f" memory templates show {key} --owner anna\n")
    (one,) = json.loads(program("memory", "templates", "list", "--json", *anna)[0])
    assert (one["runs"], one["worked"]) == (2, 1), "a thread is rated for whose it is"
    assert key in program("memory", "templates", "show", key, *anna)[0]
    program("memory", "templates", "export", key, "out.yaml", *anna)
    program("memory", "templates", "delete", key, "--yes", code=2)
    program("memory", "templates", "delete", key, "--yes", *anna)
    assert json.loads(program("memory", "templates", "list", "--json", *anna)[0]) == []


def test_a_run_with_an_agent_counts_once(program_in: MakeProgram, database: str) -> None:
    def script(body: dict[str, Any]) -> Reply:
        names = [tool["function"]["name"] for tool in body.get("tools", [])]
        return verdict(True) if "verdict" in names else ends("Three.") if "terminate" in names else Reply("Done.")

    with ScriptedServer(script) as provider:
        program = program_in(DATABASE_URL=database, **provider.environment)
        task = "Say how many words {{p1:path}} has"  # of what it does not say, the graph would learn a way of its own
        key = imported(
            program,
            [
                {"id": "look", "agent": "executor", "goal": "Count the words of {{p1}}"},
                {"id": "n", "tool": "bash", "args": {"command": "echo {{p2}} > n.txt"}},
                {"id": "l", "tool": "list_files", "args": {"pattern": "*.txt"}, "needs": ["n"]},
            ],
            task,
        )
        given = ["--set", "p1=a.txt", "--set", "p2=5", "--workspace", "own", "--thread", "t"]
        program("memory", "templates", "run", key, *given)
        (one,) = listed(program)
        assert (one["key"], one["runs"], [step["runs"] for step in one["steps"]]) == (key, 2, [1, 1, 1])

        program("run", "--thread", "t", "hello")
        _, err = program("threads", "rate", "t", "bad")
        assert "counts for no template" in err, "it is the greeting that was bad"
    assert listed(program)[0]["worked"] == 2


def test_parameters_can_be_said_one_by_one(program: Program) -> None:
    key = imported(program)
    given = ["--set", "p1=a.txt", "--set", "p2=5", "--set", "p3=c.txt"]
    program("memory", "templates", "run", key, *given, "--workspace", workspace(program), "--thread", "own")

    assert (program.folder / "ws" / "c.txt").read_text().split() == ["5", "3"]
    _, err = program("memory", "templates", "run", key, *given, "--thread", "own", code=2)
    assert "The thread 'own' exists" in err


def test_a_failed_run_counts_against_it(program: Program) -> None:
    key = imported(program)
    words = ["count", "the", "words", "of", "missing.txt", "and", "write", "60", "to", "b.txt"]
    program("memory", "templates", "run", key, *words, "--workspace", workspace(program), code=1)

    (one,) = listed(program)
    assert (one["runs"], one["worked"]) == (2, 1)
    assert [step["failures"] for step in one["steps"]] == [1, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("paint the fence", "does not have the words of the template"),
        ("--set p1=a.txt", "Nothing says 'p2' of the template"),
        ("--set p9=a.txt", "has no parameter 'p9'"),
        ("--set p1", "'p1' says no value"),
        ("--set p1=a;id --set p2=5 --set p3=b.txt", "cannot be put where they stand"),
        ("--set p1=a.txt --set p2=many --set p3=b.txt", "cannot be put where they stand"),
    ],
)
def test_what_cannot_be_filled_is_said(program: Program, arguments: str, said: str) -> None:
    key = imported(program)

    _, err = program("memory", "templates", "run", key, *arguments.split(), code=2)

    assert said in err


def test_a_word_that_means_what_was_said_before_is_no_value(program: Program) -> None:
    key = imported(program, task=TASK.replace("{{p1:path}}", "{{p1}}"))
    words = ["count", "the", "words", "of", "it", "and", "write", "60", "to", "b.txt"]

    _, err = program("memory", "templates", "run", key, *words, code=2)

    assert "The value 'it' means something that was said before" in err


def test_a_hole_is_filled_by_its_place(program: Program) -> None:
    steps = [{"id": "c", "tool": "bash", "args": {"command": "{{?}}"}}, *STEPS[1:]]
    key = imported(program, steps)

    out, _ = program("memory", "templates", "show", key)
    assert "c.command: to be found on the way" in out
    given = ["--set", "c.command=echo 'a' | wc -c", "--set", "p2=5", "--set", "p3=c.txt"]
    program("memory", "templates", "run", key, *given, "--workspace", workspace(program))
    assert (program.folder / "ws" / "c.txt").read_text().split() == ["5", "2"]


def test_an_exported_template_is_the_same_elsewhere(program: Program, program_in: MakeProgram, server: str) -> None:
    key = imported(program)
    for name in ("out.yaml", "out.json"):
        program("memory", "templates", "export", key, name)
        program("plan", "show", name)
        program("memory", "templates", "delete", key, "--yes")
        assert listed(program) == []
        program("memory", "templates", "import", name)
        (one,) = listed(program)
        assert one["key"] == key
        assert one["parameters"] == {"p1": "path", "p2": "number", "p3": "path"}
        assert [step["definition"] for step in one["steps"]] == [
            {name: value for name, value in step.items() if name != "id"} for step in STEPS
        ]
    _, err = program("memory", "templates", "export", key, "out.json", code=2)
    assert "There is already a file 'out.json'." in err
    _, err = program("memory", "templates", "export", key, "nowhere/out.json", code=2)
    assert "The file 'nowhere/out.json' cannot be written" in err
    assert (program.folder / "out.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in program.folder.glob(".*.part")] == []


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("", "has no `goal`"),
        ("Do {{?}}", "is no parameter of a task"),
        ("Do {{p1:colour}}", "is no parameter of a task"),
    ],
)
def test_a_file_that_is_no_template_is_refused(program: Program, task: str, said: str) -> None:
    _, err = program("memory", "templates", "import", written(program, task=task), code=2)

    assert said in err


def test_a_key_that_is_none_or_several_is_said(program: Program) -> None:
    imported(program)
    for key in ("zz", ""):
        _, err = program("memory", "templates", "show", key, code=2)
        assert f"begins with {key!r}" in err


def test_a_rating_changes_what_is_offered(program: Program, database: str) -> None:
    key = imported(program)
    words = ["count", "the", "words", "of", "a.txt", "and", "write", "60", "to", "b.txt"]
    for name in ("one", "two"):
        program("memory", "templates", "run", key, *words, "--workspace", workspace(program), "--thread", name)
        program("threads", "rate", name, "bad", "password=hunter2", "and", "wrong")

    (one,) = listed(program)
    assert (one["runs"], one["worked"], one["offered"]) == (3, 1, False)
    with psycopg.connect(database) as connection:
        kept = connection.execute("SELECT why FROM openmanus_graph.template_runs WHERE rating = false").fetchall()
    assert kept == [("password=[key] and wrong",)] * 2
    program("threads", "rate", "two", "good")
    assert listed(program)[0]["offered"]


def test_a_thread_without_a_template_is_rated_all_the_same(program: Program) -> None:
    plan = program.plan({"id": "a", "tool": "bash", "args": {"command": "true"}})
    program("run", "--plan", plan, "--thread", "small")

    _, err = program("threads", "rate", "small", "good", "quick")

    assert err.startswith("Rated. ")
    assert "counts for no template" in err
    assert json.loads(program("threads", "show", "small", "--json")[0])["ratings"] == [
        {"request": 1, "good": True, "why": "quick"}
    ]
    assert "rated:     request 1 good: quick\n" in program("threads", "show", "small")[0]


def test_a_template_outlives_the_threads_it_was_learned_from(program: Program) -> None:
    key = imported(program)
    words = ["count", "the", "words", "of", "a.txt", "and", "write", "60", "to", "b.txt"]
    program("memory", "templates", "run", key, *words, "--workspace", workspace(program), "--thread", "gone")
    program("threads", "delete", "gone", "--yes")

    assert [one["runs"] for one in listed(program)] == [2]


def test_a_forgotten_thread_takes_along_what_it_ran_and_no_other_has(program: Program) -> None:
    key = imported(program)
    words = ["count", "the", "words", "of", "a.txt", "and", "write", "60", "to", "b.txt"]
    program("memory", "templates", "run", key, *words, "--workspace", workspace(program), "--thread", "gone")

    _, err = program("memory", "forget", "--thread", "gone", "--matching", "words", "--yes")
    assert (err, listed(program)[0]["runs"]) == ("Forgot 0 passages and 0 episodes.\n", 2)
    _, err = program("memory", "forget", "--thread", "gone", "--yes")
    assert (err, listed(program)[0]["runs"]) == ("Forgot 0 passages and 0 episodes.\n", 1), "it was imported as well"
    program("memory", "templates", "run", key, *words, "--workspace", "other", "--thread", "only", code=1)
    out, _ = program("memory", "forget", "--thread", f"import {key}", "--yes", "--json")
    assert json.loads(out) == {"passages": 0, "episodes": 0, "templates": 0}
    assert json.loads(program("memory", "forget", "--thread", "only", "--yes", "--json")[0])["templates"] == 1
    assert listed(program) == []


def test_a_neo4j_that_is_down_is_an_error_of_the_commands(program_in: MakeProgram, database: str) -> None:
    program = program_in(DATABASE_URL=database, NEO4J_URI="bolt://127.0.0.1:1", NEO4J_PASSWORD="hidden-word")
    _, err = program("memory", "templates", "list", code=1)

    assert "No Neo4j answers at 'bolt://127.0.0.1:1'" in err
    assert "hidden-word" not in err


def test_doctor_says_that_there_is_a_password_and_not_which(program_in: MakeProgram, database: str) -> None:
    program = program_in(DATABASE_URL=database, NEO4J_URI="bolt://127.0.0.1:1", NEO4J_PASSWORD="hidden-word")
    out, err = program("doctor", "--json")

    shown = {one["name"]: (one["value"], one["from"]) for one in json.loads(out)["settings"]}
    assert shown["neo4j_password"] == ("set", "environment")
    assert shown["neo4j_uri"][0] == "bolt://127.0.0.1:1"
    assert "hidden-word" not in out + err
