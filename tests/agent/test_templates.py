"""Templates in the agent: learned from what was done, told as data, proposed without a model, and never in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph import Memory, ThreadSaver
from openmanus_graph.config.settings import account_name
from openmanus_graph.memory.procedural.postgres_templates import PostgresTemplates
from openmanus_graph.memory.procedural.template import KnownTemplate
from openmanus_graph.testing import Reply, ScriptedServer
from tests.agent.conftest import Build
from tests.agent.replies import plans, thread, wants_plan


def task(words: str = "hello world", file: str = "greeting.txt") -> str:
    return f"Write {words} to {file} and count the words in it"


def steps(words: str = "hello world", file: str = "greeting.txt", count: str = "wc -w < {}") -> list[dict[str, Any]]:
    text = {"command": "create", "path": file, "file_text": words}
    return [
        {"id": "w", "tool": "str_replace_editor", "args": text},
        {"id": "c", "tool": "bash", "args": {"command": count.format(file)}, "needs": ["w"]},
        {"id": "l", "tool": "list_files", "args": {"pattern": "*.txt"}, "needs": ["w"]},
    ]


async def known(saver: ThreadSaver) -> list[KnownTemplate]:
    return await PostgresTemplates(saver, account_name()).templates()


class Asked:
    """An agent that is asked for texts, each in a thread of its own."""

    def __init__(self, build: Build, provider: ScriptedServer, settings: dict[str, Any] | None = None) -> None:
        self.app = build(settings=settings)
        self.provider = provider
        self.count = 0

    async def __call__(self, words: str, file: str, *replies: Reply, **given: Any) -> dict[str, Any]:
        """Ask with these replies; the workspaces are apart."""
        self.count += 1
        self.provider.add(*replies)
        made: dict[str, Any] = await self.app.ainvoke({"task": task(words, file), **given}, thread(f"t{self.count}"))
        return made

    async def learned(self, times: int = 3) -> None:
        """Have it done so many times by a model's plan."""
        for number in range(times):
            words, file = f"word{number} again", f"file{number}.txt"
            out = await self(words, file, wants_plan(), plans(*steps(words, file)), Reply("Two words."))
            assert out["status"] == "completed"


@pytest.fixture
def asked(build: Build, provider: ScriptedServer) -> Asked:
    return Asked(build, provider)


async def test_a_request_with_three_steps_is_learned(asked: Asked, saver: ThreadSaver) -> None:
    await asked.learned(1)

    (one,) = await known(saver)
    assert one.template.task == "Write {{p1}} to {{p2}} and count the words in it"
    assert [step.definition["args"] for step in one.template.steps] == [
        {"command": "create", "path": "{{p2}}", "file_text": "{{p1}}"},
        {"command": "wc -w < {{p2}}"},
        {"pattern": "*.txt"},
    ]
    assert (one.runs, one.worked) == (1, 1)
    assert all(step.runs == 1 and step.mean_s >= 0 for step in one.template.steps)


async def test_what_was_found_at_the_end_of_a_large_output_is_not_kept(asked: Asked, saver: ThreadSaver) -> None:
    written = {"command": "create", "path": "b.txt", "file_text": "zebra finch"}
    plan = [
        {"id": "a", "tool": "bash", "args": {"command": "seq 1 20000; echo 'It is a zebra finch.'"}},
        {"id": "b", "tool": "str_replace_editor", "args": written, "needs": ["a"]},
        {"id": "c", "tool": "bash", "args": {"command": "wc -w < b.txt"}, "needs": ["b"]},
    ]

    out = await asked("what it is", "b.txt", wants_plan(), plans(*plan), Reply("Two words."))

    assert out["results"]["a"]["output_file"]
    (one,) = await known(saver)
    assert one.template.steps[1].definition["args"] == {"command": "create", "path": "{{p1}}", "file_text": "{{?}}"}


async def test_a_request_with_fewer_steps_is_not(asked: Asked, saver: ThreadSaver) -> None:
    await asked("hello world", "a.txt", wants_plan(), plans(*steps("hello world", "a.txt")[:2]), Reply("Two."))

    assert await known(saver) == []


async def test_the_next_request_of_its_kind_is_told_it_as_data(asked: Asked, provider: ScriptedServer) -> None:
    await asked.learned(1)
    before = len(provider.requests)

    await asked("bye", "b.txt", wants_plan(), plans(*steps("bye", "b.txt")), Reply("One."))

    told = "\n".join(str(message["content"]) for message in provider.requests[before].messages)
    assert "# From memory, of other threads\n~~~" in told
    assert "A way that worked 1 of 1 time; adapt it" in told
    assert "s2 after s1: bash(command=wc -w < {{p2}})" in told
    assert "word0" not in told.split("## A procedure")[1].split("## A past task")[0]


async def test_another_kind_of_request_is_told_nothing(asked: Asked, provider: ScriptedServer) -> None:
    await asked.learned(1)
    before = len(provider.requests)
    provider.add(Reply("Hello!"))
    await asked.app.ainvoke({"task": "Who painted the Mona Lisa?"}, thread("other"))

    assert "procedure" not in str(provider.requests[before].messages)


async def test_what_rules_fill_is_proposed_without_a_model(
    asked: Asked, provider: ScriptedServer, saver: ThreadSaver
) -> None:
    await asked.learned()
    before = len(provider.requests)

    out = await asked("one two three", "three.txt", Reply("Three words."))

    assert (out["status"], out["answer"]) == ("completed", "Three words.\n\nFiles:\n- three.txt")
    assert out["results"]["s2"]["output"]["stdout"].strip() == "3"
    assert len(provider.requests) - before == 1, "only the answer was a model's"
    assert "Write one two three to three.txt" in str(provider.requests[-1].messages)
    (one,) = await known(saver)
    assert all(step["expected_s"] > 0 for step in out["plan"]["subtasks"]), "as long as it took before"
    assert (one.runs, one.worked, one.tasks) == (4, 4, 4)


async def test_a_person_sees_that_the_plan_is_a_templates(asked: Asked, saver: ThreadSaver) -> None:
    await asked.learned()
    await asked("one two", "two.txt", Reply("Two."))

    async with saver.connection() as connection:
        found = await connection.execute(
            "SELECT event->>'text' AS text FROM events WHERE thread_id = 't4' AND type = 'recalled'"
        )
        rows = await found.fetchall()
    (one,) = await known(saver)
    assert [row["text"] for row in rows] == [
        f"The plan is from the template {one.template.key}, which worked 3 of 3 times; no model was asked for it."
    ]


async def test_a_person_who_reviews_plans_approves_it_or_has_it_planned(
    build: Build, provider: ScriptedServer, saver: ThreadSaver
) -> None:
    await Asked(build, provider).learned()
    app = build(settings={"review": "always"})
    out = await app.ainvoke({"task": task("one two", "two.txt")}, thread("reviewed"))
    (question,) = out["__interrupt__"]
    assert "is from the template" in question.value["reason"]

    async def says(word: Any) -> dict[str, Any]:
        (question,) = await app.questions("reviewed")
        answer = {question["id"]: {"kind": "approve", "value": word}}
        made: dict[str, Any] = await app.ainvoke(Command(resume=answer), thread("reviewed"))
        return made

    provider.add(plans(*steps("one two", "other.txt")), Reply("Two."))
    await says({"action": "reject", "reason": "into other.txt"})
    out = await says(True)

    assert out["status"] == "completed"
    assert "into other.txt" in str(provider.requests[-2].messages)
    assert {one["args"].get("path") for one in out["plan"]["subtasks"]} == {"other.txt", None}
    assert sum(one.runs - one.worked for one in await known(saver)) == 0, "a plan that nobody carried out did not fail"


async def test_three_runs_of_one_task_prove_nothing_of_another(asked: Asked, provider: ScriptedServer) -> None:
    """Its constants may be those of that task; only a model sees whether they are."""
    for _ in range(3):
        words, file = "hello world", "a.txt"
        await asked(words, file, wants_plan(), plans(*steps(words, file)), Reply("Two words."))
    before = len(provider.requests)

    await asked("bye", "b.txt", wants_plan(), plans(*steps("bye", "b.txt")), Reply("One."))

    assert len(provider.requests) - before == 3


@pytest.mark.parametrize("given", ["attachment", "words"])
async def test_what_rules_cannot_know_is_for_the_model(asked: Asked, provider: ScriptedServer, given: str) -> None:
    await asked.learned()
    before = len(provider.requests)
    folder = Path("openmanus-work/t4")
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    more: dict[str, Any] = {"attachments": ["a.txt"]} if given == "attachment" else {}
    words = "bye" if given == "attachment" else "bye, in French,"

    await asked(words, "b.txt", wants_plan(), plans(*steps("bye", "b.txt")), Reply("One."), **more)

    assert len(provider.requests) - before == 3


async def test_words_that_mean_what_was_said_before_are_for_the_model(asked: Asked, provider: ScriptedServer) -> None:
    await asked.learned()
    before = len(provider.requests)

    await asked("the same", "b.txt", wants_plan(), plans(*steps("bye", "b.txt")), Reply("One."))

    assert len(provider.requests) - before == 3


async def test_a_later_request_of_a_conversation_is_for_the_model(asked: Asked, provider: ScriptedServer) -> None:
    await asked.learned()
    provider.add(Reply("Hello."))
    await asked.app.ainvoke({"task": "I always want French words"}, thread("talk"))
    before = len(provider.requests)

    provider.add(wants_plan(), plans(*steps("au revoir", "b.txt")), Reply("Two."))
    out = await asked.app.ainvoke({"task": task("good bye", "b.txt")}, thread("talk"))

    assert len(provider.requests) - before == 3
    assert out["plan"]["subtasks"][0]["args"]["file_text"] == "au revoir"


async def test_a_run_that_is_recorded_has_all_its_calls(build: Build, provider: ScriptedServer, tmp_path: Path) -> None:
    await Asked(build, provider).learned()
    record = tmp_path / "tape.jsonl"
    provider.add(wants_plan(), plans(*steps("a b", "c.txt")), Reply("Two."))
    await build(settings={"record": record}).ainvoke({"task": task("a b", "c.txt")}, thread("recorded"))

    assert len(record.read_text().splitlines()) >= 3
    replayed = build(models=f"replay:{record}")
    out = await replayed.ainvoke({"task": task("a b", "c.txt")}, thread("replayed"))
    assert out["answer"].startswith("Two.")


async def test_failures_lower_its_weight_and_end_its_offers(
    asked: Asked, provider: ScriptedServer, saver: ThreadSaver
) -> None:
    await asked.learned()
    for number in range(5):
        words, file = f"bad{number} luck", f"bad{number}.txt"
        (folder := Path(f"openmanus-work/t{asked.count + 1}/{file}")).mkdir(parents=True)
        assert folder.is_dir()
        is_offered = (await known(saver))[0].is_offered
        replies = [Reply("It is a folder.")]
        if not (await known(saver))[0].is_sure:
            replies = [wants_plan(), plans(*steps(words, file)), *replies]
        out = await asked(words, file, *replies)
        assert out["status"] == "failed"
        if not is_offered:
            break

    (one,) = await known(saver)
    assert (one.runs, one.worked) == (8, 3)
    assert not one.is_offered
    assert one.template.steps[0].failures == 5
    before = len(provider.requests)
    await asked("bye", "b.txt", wants_plan(), plans(*steps("bye", "b.txt")), Reply("One."))
    assert "A way that worked" not in str(provider.requests[before].messages)


async def test_no_template_is_blamed_for_budgets_networks_and_people(
    build: Build, provider: ScriptedServer, saver: ThreadSaver
) -> None:
    await Asked(build, provider).learned(1)
    network = steps("a b", "n.txt", "echo 'The host x cannot be reached: timed out.' >&2; exit 7; cat {}")
    provider.add(wants_plan(), plans(*network), Reply("No network."))
    out = await build().ainvoke({"task": task("a b", "n.txt")}, thread("network"))
    assert out["status"] == "failed"

    provider.add(wants_plan(), plans(*steps("a b", "c.txt")), Reply("Stopped."))
    out = await build(settings={"budget": {"model_calls": 2}}).ainvoke({"task": task("a b", "c.txt")}, thread("budget"))
    assert out["status"] != "completed"

    assert [(one.runs, one.worked) for one in await known(saver)] == [(1, 1)]


async def test_a_run_counts_for_the_way_in_which_it_was_done(asked: Asked, saver: ThreadSaver) -> None:
    """What was offered counts for nothing: of three steps, the one that differs is a way of its own."""
    await asked.learned(1)
    other = [{"id": f"b{n}", "tool": "bash", "args": {"command": f"exit {n}"}} for n in range(1, 4)]

    failed = await asked("bye", "b.txt", wants_plan(), plans(*other), Reply("It failed."))
    done = await asked(
        "so long", "c.txt", wants_plan(), plans(*steps("so long", "c.txt", "wc -c < {}")), Reply("Seven.")
    )
    again = await asked("good bye", "d.txt", wants_plan(), plans(*steps("good bye", "d.txt")), Reply("Two."))

    assert [out["status"] for out in (failed, done, again)] == ["failed", "completed", "completed"]
    by_steps = {str(one.template.steps[1].definition["args"]["command"]): one for one in await known(saver)}
    assert {command: (one.runs, one.worked) for command, one in by_steps.items()} == {
        "exit 2": (1, 0),
        "wc -c < {{p2}}": (1, 1),
        "wc -w < {{p2}}": (2, 2),
    }


async def test_steps_in_another_order_are_counted_as_what_they_are(asked: Asked, saver: ThreadSaver) -> None:
    await asked.learned(1)
    w, c, n = steps("bye", "b.txt")

    await asked("bye", "b.txt", wants_plan(), plans({**n, "id": "c"}, {**c, "id": "l"}, w), Reply("One."))
    (folder := Path("openmanus-work/t3/c.txt")).mkdir(parents=True)
    assert folder.is_dir()
    w, c, n = steps("bye", "c.txt")
    await asked("bye", "c.txt", wants_plan(), plans(n, c, w), Reply("It is a folder."))

    (one,) = await known(saver)
    assert [(step.work, step.runs, step.failures) for step in one.template.steps] == [
        ("str_replace_editor", 2, 1),
        ("bash", 2, 0),
        ("list_files", 2, 0),
    ]


async def test_a_plan_by_rules_that_is_planned_anew_failed(
    asked: Asked, provider: ScriptedServer, saver: ThreadSaver
) -> None:
    await asked.learned()
    (folder := Path("openmanus-work/t4/x.txt")).mkdir(parents=True)
    assert folder.is_dir()
    other = [{"id": f"o{n}", "tool": "bash", "args": {"command": f"echo {n}"}} for n in range(3)]

    out = await asked("hello world", "x.txt", wants_plan(), plans(*other), Reply("Done otherwise."))

    assert out["status"] == "completed"
    by_work = {one.template.steps[0].work: one for one in await known(saver)}
    by_rules, by_model = by_work["str_replace_editor"], by_work["bash"]
    assert (by_rules.runs, by_rules.worked, by_rules.template.steps[0].failures) == (4, 3, 1)
    assert (by_model.runs, by_model.worked) == (1, 1)
    store = PostgresTemplates(saver, account_name())
    assert await store.rate("t4", good=True) == by_model.template.key, "a rating is of what was done in the end"


async def test_a_plan_by_rules_that_is_tried_again_counts_once_and_as_it_ended(
    asked: Asked, provider: ScriptedServer, saver: ThreadSaver
) -> None:
    await asked.learned()
    (folder := Path("openmanus-work/t4/x.txt")).mkdir(parents=True)
    out = await asked("hello world", "x.txt", Reply("It is a folder."))
    assert out["status"] == "failed"
    assert [(one.runs, one.worked) for one in await known(saver)] == [(4, 3)]
    folder.rmdir()

    provider.add(Reply("Two words."))
    out = await asked.app.ainvoke({"again": True}, thread("t4"))

    assert out["status"] == "completed"
    assert [(one.runs, one.worked) for one in await known(saver)] == [(4, 4)]


async def test_without_memory_nothing_is_recalled_or_remembered(
    build: Build, provider: ScriptedServer, saver: ThreadSaver
) -> None:
    await Asked(build, provider).learned()
    before = len(provider.requests)
    off = build(settings={"memory": False})
    provider.add(wants_plan(), plans(*steps("a b", "c.txt")), Reply("Two."))

    out = await off.ainvoke({"task": task("a b", "c.txt")}, thread("off"))

    assert out["status"] == "completed"
    assert len(provider.requests) - before == 3
    assert "memory" not in str(provider.requests[before].messages)
    assert [one.runs for one in await known(saver)] == [3]
    async with saver.connection() as connection:
        row = await (await connection.execute("SELECT count(*) AS n FROM episodes WHERE thread_id = 'off'")).fetchone()
    assert row == {"n": 0}


async def test_a_request_stored_twice_by_a_resume_counts_once(asked: Asked, saver: ThreadSaver) -> None:
    await asked.learned(1)
    asked.provider.add(Reply("Again."))
    await asked.app.ainvoke({"again": True}, thread("t1"))

    assert [(one.runs, one.worked) for one in await known(saver)] == [(1, 1)]


class InWords:
    """A procedural memory of one's own, which knows no templates."""

    async def recall(self, task: str, *, limit: int = 2) -> list[str]:
        return [f"Do it slowly ({limit}): {task}"]


async def test_a_memory_of_ones_own_is_told_in_words(build: Build, provider: ScriptedServer) -> None:
    provider.add(wants_plan(), plans(*steps()), Reply("Two."))
    out = await build(memory=Memory(procedural=InWords())).ainvoke({"task": task()}, thread())

    assert out["status"] == "completed"
    assert "## A procedure\nDo it slowly (1): Write hello" in str(provider.requests[0].messages[-2]["content"])
