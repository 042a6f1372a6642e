"""`completed` means checked: by what can be seen, then by a model against the evidence."""

from __future__ import annotations

from pathlib import Path

from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, decides, ends, plans, thread, verdict, wants_plan

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
    provider.add(wants_plan(), plans(WORK), *tries, decides("report"), Reply("It is not there."))
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


async def test_no_verdict_is_no_success(build: Build, provider: ScriptedServer) -> None:
    silent = [Reply("Looks good to me!"), Reply("Really good.")]
    provider.add(wants_plan(), plans(WORK), writes("a b c"), ends("done"), *silent, decides("report"), Reply("No."))
    out = await build(settings={"max_verifications": 1}).ainvoke({"task": "report"}, thread())
    assert out["results"]["w"]["status"] == "failed"
    assert "no verdict" in out["results"]["w"]["error"]


async def test_without_done_when_nothing_is_claimed(build: Build, provider: ScriptedServer) -> None:
    provider.add(wants_plan(), plans({"id": "w", "goal": "think", "agent": "executor"}), ends("thought"), Reply("x"))
    out = await build().ainvoke({"task": "think"}, thread())
    assert out["results"]["w"]["verified"] is None
    assert out["results"]["w"]["status"] == "completed"


async def test_a_direct_call_with_done_when_is_checked_too(build: Build, provider: ScriptedServer) -> None:
    call = {
        "id": "c",
        "goal": "list",
        "tool": "bash",
        "args": {"command": "echo one"},
        "done_when": "two lines are shown",
    }
    provider.add(wants_plan(), plans(call), verdict(False, "There is one line."), decides("report"), Reply("One line."))
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
        decides("report"),
        Reply("They fail."),
    )
    out = await build(settings={"max_verifications": 1}).ainvoke({"task": "test"}, thread())
    assert out["results"]["w"]["verified"] is False
    assert "last command failed" in out["results"]["w"]["error"]


async def test_what_ran_out_of_steps_is_not_verified_as_done(build: Build, provider: ScriptedServer) -> None:
    work = {**WORK, "tools": ["bash"]}
    provider.add(wants_plan(), plans(work), writes("a b c"), decides("report"), Reply("No."))
    out = await build(settings={"budget": {"steps": 1}}).ainvoke({"task": "report"}, thread())
    assert out["results"]["w"]["status"] == "failed"


async def test_another_attempt_starts_from_the_beginning(build: Build, provider: ScriptedServer) -> None:
    work = {"id": "w", "goal": "do it", "agent": "executor", "retries": 1}
    provider.add(wants_plan(), plans(work), ends("no", "failure"), ends("yes"), Reply("yes"))
    out = await build().ainvoke({"task": "do it"}, thread())
    assert (out["results"]["w"]["status"], out["results"]["w"]["attempts"]) == ("completed", 2)
    assert len(provider.requests[3].messages) == 2, "the second attempt knows nothing of the first"
