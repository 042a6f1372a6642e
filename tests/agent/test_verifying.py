"""`completed` means checked: by what can be seen, then by a model against the evidence."""

from __future__ import annotations

from pathlib import Path

from openmanus_graph.testing import Fault, Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, done, ends, plans, thread, verdict, wants_plan

WORK = {
    "id": "w",
    "goal": "write r.md",
    "agent": "executor",
    "done_when": "the file r.md exists and names three cities",
}


def writes(text: str, path: str = "r.md") -> Reply:
    """The executor writes a file."""
    command = f"cat > {path} <<'END'\n{text}\nEND"
    return calls(ToolUse("bash", {"command": command}))


async def test_a_missing_file_needs_no_model_to_be_refused(build: Build, provider: ScriptedServer) -> None:
    provider.add(
        wants_plan(),
        plans(WORK),
        ends("written"),
        writes("Rome, Oslo, Bern"),
        ends("now it is"),
        verdict(True),
        Reply("x"),
    )
    out = await build().ainvoke({"task": "report"}, thread())
    assert out["status"] == "completed"
    assert out["results"]["w"]["verified"] is True
    assert "'r.md' does not exist" in str(provider.requests[3].messages[-1]["content"])
    assert "terminate" in provider.requests[3].tools, "it went back to the executor, with no call of the verifier"


async def test_a_refusal_goes_back_with_its_reason(build: Build, provider: ScriptedServer) -> None:
    provider.add(
        wants_plan(),
        plans(WORK),
        writes("Rome, Oslo"),
        ends("two cities"),
        verdict(False, "Only two cities are named."),
        writes("Rome, Oslo, Bern"),
        ends("three cities"),
        verdict(True, "Three cities are named."),
        Reply("Done."),
    )
    out = await build().ainvoke({"task": "report"}, thread())
    result = out["results"]["w"]
    assert (result["status"], result["verified_why"]) == ("completed", "Three cities are named.")
    assert "Only two cities are named." in str(provider.requests[5].messages[-1]["content"])
    evidence = provider.requests[7].messages[-1]["content"]
    assert "Rome, Oslo, Bern" in evidence
    assert "three cities" in evidence


async def test_what_stays_refused_is_failed(build: Build, provider: ScriptedServer) -> None:
    tries = [reply for _ in range(3) for reply in (ends("done!"),)]
    provider.add(wants_plan(), plans(WORK), *tries, Reply("It is not there."))
    out = await build().ainvoke({"task": "report"}, thread())
    result = out["results"]["w"]
    assert (result["status"], result["verified"]) == ("failed", False)
    assert "not done" in result["error"]
    assert out["status"] == "failed"


async def test_a_link_out_of_the_workspace_is_not_shown(build: Build, provider: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("the secret")
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "note.txt").symlink_to(tmp_path / "secret.txt")
    work = {"id": "w", "goal": "look", "agent": "executor", "done_when": "note.txt exists"}
    provider.add(plans(work), ends("it is there"), verdict(True), Reply("Yes."))
    await build().ainvoke({"task": "look"}, thread(workspace=str(folder)))
    assert "the secret" not in str(provider.requests[2].messages)


async def test_no_verdict_is_no_success_and_no_complaint(build: Build, provider: ScriptedServer) -> None:
    silent = [Reply("Looks good to me!"), Reply('{"verified": "perhaps"}')]
    provider.add(wants_plan(), plans(WORK), writes("a b c"), ends("done"), *silent, Reply("No."))
    out = await build().ainvoke({"task": "report"}, thread())
    result = out["results"]["w"]
    assert (result["status"], result["verified"], result["output"]) == ("failed", None, "done")
    assert result["error"].startswith("It could not be checked: The model that checks gave no verdict in two tries")
    first, second = (request.messages for request in provider.requests[4:6])
    assert second[: len(first)] == first
    assert second[len(first)]["content"] == "Looks good to me!"
    assert "That is no verdict." in second[-1]["content"]
    assert "holds no JSON object" in second[-1]["content"]


async def test_a_verdict_at_the_second_try_counts(build: Build, provider: ScriptedServer) -> None:
    provider.add(plans(WORK), writes("a b c"), ends("done"), Reply("Fine."), verdict(True), Reply("Done."))
    out = await build().ainvoke({"task": "report"}, thread())
    assert (out["status"], out["results"]["w"]["verified"]) == ("completed", True)


async def test_what_has_not_changed_is_not_checked_twice(build: Build, provider: ScriptedServer) -> None:
    refused = verdict(False, "The third city is missing.")
    provider.add(plans(WORK), writes("a b"), ends("done"), refused, ends("done"), ends("done"))
    provider.add(Reply("No."))
    out = await build().ainvoke({"task": "report"}, thread())
    result = out["results"]["w"]
    assert (result["status"], result["verified"]) == ("failed", False)
    assert "Nothing has changed since it was refused: The third city is missing." in result["error"]
    assert sum(request.tools == ["verdict"] for request in provider.requests) == 1
    assert "Nothing has changed" in provider.requests[5].messages[-1]["content"]
    assert "it is checked once more at most" in provider.requests[5].messages[-1]["content"].lower()


async def test_a_check_knows_what_it_found_missing_before(build: Build, provider: ScriptedServer) -> None:
    refused = verdict(False, "The third city is missing.")
    provider.add(plans(WORK), writes("a b"), ends("two"), refused, writes("a b c"), *done("three"), Reply("Done."))
    out = await build().ainvoke({"task": "report"}, thread())
    assert out["status"] == "completed"
    first, second = (str(request.messages) for request in provider.requests if request.tools == ["verdict"])
    assert "found missing before" not in first
    assert "found missing before" in second
    assert "The third city is missing." in second


async def test_a_prompt_too_long_for_the_verifier_is_shortened(build: Build, provider: ScriptedServer) -> None:
    lists = calls(ToolUse("bash", {"command": "seq 3000"}))
    provider.add(plans({**WORK, "done_when": "it is counted"}), lists, ends("done"), Fault.overflow(), verdict(True))
    provider.add(Reply("Done."))
    out = await build().ainvoke({"task": "report"}, thread())
    assert out["results"]["w"]["verified"] is True
    first, second = (request for request in provider.requests if request.tools == ["verdict"])
    assert second.prompt_tokens < first.prompt_tokens * 0.7
    text = second.messages[-1]["content"]
    assert text.endswith("# The result that is given\n~~~\ndone\n~~~")
    assert text.count("\n~~~") == 6, "arguments, result and answer are still between fences of their own"


async def test_without_done_when_it_is_judged_by_the_goal(build: Build, provider: ScriptedServer) -> None:
    work = {"id": "w", "goal": "name a city", "agent": "executor"}
    provider.add(
        wants_plan(), plans(work), ends("done"), verdict(False, "No city is named."), *done("Oslo"), Reply("x")
    )
    out = await build().ainvoke({"task": "think"}, thread())
    assert (out["results"]["w"]["verified"], out["results"]["w"]["output"]) == (True, "Oslo")
    asked = provider.requests[3].messages[-1]["content"]
    assert "name a city\n\n# It is done when\nThe subtask above is done in full" in asked
    assert "No city is named." in provider.requests[4].messages[-1]["content"]


async def test_a_direct_call_with_done_when_is_checked_too(build: Build, provider: ScriptedServer) -> None:
    call = {
        "id": "c",
        "goal": "list",
        "tool": "bash",
        "args": {"command": "echo one"},
        "done_when": "two lines are shown",
    }
    provider.add(wants_plan(), plans(call), verdict(False, "There is one line."), Reply("One line."))
    out = await build().ainvoke({"task": "list"}, thread())
    assert out["results"]["c"]["status"] == "failed"
    assert out["results"]["c"]["output"]["stdout"] == "one\n", "what it produced is kept"


async def test_a_failed_last_command_is_seen(build: Build, provider: ScriptedServer) -> None:
    work = {"id": "w", "goal": "test it", "agent": "executor", "done_when": "the tests pass"}
    provider.add(
        wants_plan(),
        plans(work),
        calls(ToolUse("bash", {"command": "echo 1 failed; (exit 1)"})),
        ends("All tests pass."),
        Reply("They fail."),
    )
    out = await build(settings={"max_verifications": 1}).ainvoke({"task": "test"}, thread())
    assert out["results"]["w"]["verified"] is False
    assert "last command failed" in out["results"]["w"]["error"]


async def test_what_ran_out_of_steps_is_not_verified_as_done(build: Build, provider: ScriptedServer) -> None:
    work = {**WORK, "tools": ["bash"]}
    provider.add(wants_plan(), plans(work), writes("a b c"), Reply("No."))
    out = await build(settings={"budget": {"steps": 1}}).ainvoke({"task": "report"}, thread())
    assert out["results"]["w"]["status"] == "failed"


async def test_another_attempt_starts_from_the_beginning(build: Build, provider: ScriptedServer) -> None:
    work = {"id": "w", "goal": "do it", "agent": "executor", "retries": 1}
    provider.add(wants_plan(), plans(work), ends("no", "failure"), *done("yes"), Reply("yes"))
    out = await build().ainvoke({"task": "do it"}, thread())
    assert (out["results"]["w"]["status"], out["results"]["w"]["attempts"]) == ("completed", 2)
    assert len(provider.requests[3].messages) == 2, "the second attempt knows nothing of the first"


async def test_a_file_that_a_result_shows_is_not_shown_again(
    build: Build, provider: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "n.txt").write_text('A "kumquat" is small.\n\nIt is orange.\n')
    (tmp_path / "m.txt").write_text("A pear is green.\nIt is not small.\n")
    views = calls(ToolUse("str_replace_editor", {"command": "view", "path": "n.txt"}))
    work = {"id": "w", "goal": "sum up n.txt and m.txt", "agent": "executor"}
    provider.add(plans(work), views, *done("All fruit."))
    await build().ainvoke({"task": "sum up"}, thread(workspace=str(tmp_path)))
    told = next(str(request.messages) for request in provider.requests if request.tools == ["verdict"])
    assert (told.count("kumquat"), told.count("A pear is green.")) == (1, 1)
    assert "# The file n.txt" in told
