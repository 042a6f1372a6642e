"""Served threads: what clients of the MCP server begin, go on with, answer and look at."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from langgraph.types import Command

from openmanus_graph.checkpoints.progress import open_questions, state_values
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.thread_id import checked_thread, new_thread_id
from openmanus_graph.checkpoints.threads import Thread, find_thread, get_thread, list_threads
from openmanus_graph.cli.mcp_server.background_runs import BackgroundRun, BackgroundRuns
from openmanus_graph.cli.mcp_server.elicited import how_to_answer
from openmanus_graph.cli.options import RunOptions
from openmanus_graph.cli.report import current_plan, current_results
from openmanus_graph.cli.resume import deliver, next_input
from openmanus_graph.cli.run import agent_graph, graph_of_plan, refuse_request
from openmanus_graph.cli.user_graph import as_json, output_of
from openmanus_graph.errors import OpenManusGraphError, ThreadUnfinishedError
from openmanus_graph.graphs.builders import runs_user_graph
from openmanus_graph.graphs.rebuild import rebuild_app
from openmanus_graph.graphs.user.user_graph import make_loaded_durable
from openmanus_graph.loading.graphs import load_graph
from openmanus_graph.loading.input_schema import check_input, title_of
from openmanus_graph.plan import Plan
from openmanus_graph.questions import Question, answers_for, handle_of

LONGEST_OUTPUT = 4_000
"""Characters of one subtask's output that are told; the whole is in the thread's workspace or its report."""
LOOKS_EVERY_S = 0.25
"""Seconds between two looks at a thread that another process runs."""


class ServedThreads:
    """The threads of a database, as the clients of one process run them."""

    def __init__(self, saver: ThreadSaver) -> None:
        """Serve the threads of a store.

        Args:
            saver: The store.
        """
        self._saver = saver
        self._options = RunOptions()
        self.runs = BackgroundRuns()
        """The runs of this process."""

    async def begin_task(self, task: str, name: str | None) -> BackgroundRun:
        """Hand the agent a task, in a new thread or as the next request of a conversation."""
        thread_id = checked_thread(name) if name else new_thread_id(task)
        known = await get_thread(self._saver, thread_id) if name else None
        if known is not None:
            refuse_request(known, task)
        graph = await asyncio.to_thread(agent_graph, self._options, known)
        app: Any = graph.compile(checkpointer=self._saver)
        configurable = self._options.stored_settings(known)
        return self.runs.begin(app, {"task": task, "attachments": []}, thread_id, configurable)

    async def begin_plan(self, given: Mapping[str, Any], name: str | None) -> BackgroundRun:
        """Run a plan, in a thread of its own."""
        plan = Plan.from_dict(dict(given))
        settings = self._options.effective_settings()
        graph = await asyncio.to_thread(graph_of_plan, plan, self._options, settings)
        plan = plan if any(subtask.agent for subtask in plan.subtasks) else graph.plans.accept(plan)
        thread_id = checked_thread(name) if name else new_thread_id(plan.goal or "plan")
        await self._refuse_known(thread_id)
        app: Any = graph.compile(checkpointer=self._saver)
        return self.runs.begin(app, {"plan": plan}, thread_id, self._options.stored_settings(None))

    async def begin_graph(self, place: str, given: Any) -> BackgroundRun:
        """Run a registered graph, in a thread of its own."""
        loaded = await load_graph(place)
        app = make_loaded_durable(loaded, self._saver, self._options.effective_settings())
        check_input(app, given)
        thread_id = new_thread_id(loaded.name)
        return self.runs.begin(app, given, thread_id, {"title": title_of(given) or loaded.name})

    async def _refuse_known(self, thread_id: str) -> None:
        if await get_thread(self._saver, thread_id) is not None:
            raise ThreadUnfinishedError(
                f"There is a thread {thread_id!r} already.", hint="Go on with it by the tool resume, or name another."
            )

    async def go_on(self, name: str, answers: tuple[str, ...] = ()) -> BackgroundRun | None:
        """Go on with a thread, or answer what it asks; `None` if another process runs it, which is told the answers.

        Args:
            name: The thread, or a unique beginning of its id.
            answers: Answers as one types them.
        """
        thread = await find_thread(self._saver, name)
        if thread.status == "running":
            if answers:
                stopped = await deliver(self._saver, thread, answers, self._options)
                if stopped is not None:
                    return await self.go_on(name)
            return self._running(thread.thread_id)
        app = await self._app(thread)
        if not thread.finished:  # what is next is known only to a graph that fits
            await app.check_version(thread.thread_id)
        kept: dict[str, Any] = self._options.stored_settings(thread)
        if runs_user_graph(thread):
            given = await self._input_of_user_graph(app, thread, answers)
            kept = {"title": thread.title}
        elif thread.status == "completed" and not answers:
            return None
        else:
            given = await next_input(app, thread, answers)
        return self.runs.begin(app, given, thread.thread_id, {**kept, **_place_of(thread)})

    def _running(self, thread_id: str) -> BackgroundRun | None:
        run = self.runs.of(thread_id)
        return None if run is None or run.done else run

    async def _app(self, thread: Thread) -> Any:
        settings = await asyncio.to_thread(self._options.effective_settings, thread)
        return await rebuild_app(thread, self._saver, settings)

    async def _input_of_user_graph(self, app: Any, thread: Thread, answers: tuple[str, ...]) -> Any:
        standing = await app.standing(thread)
        standing.refuse(thread.thread_id)
        if not answers:
            return None
        found = answers_for(standing.questions, list(answers))
        for question in standing.questions:
            app.check_answer(question, found.get(question["id"]), thread.workspace)
        return Command(resume=dict(found))

    async def find(self, name: str) -> Thread:
        """The thread of an id or its beginning."""
        return await find_thread(self._saver, name)

    async def questions(self, thread_id: str) -> dict[str, Question]:
        """What a thread asks, by the names that answers go by."""
        found = await open_questions(self._saver, thread_id)
        return {handle_of(question, found): question for question in found}

    async def wait_for_others(self, thread_id: str, seconds: float) -> None:
        """Wait until a thread that another process runs is run by nobody."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            thread = await get_thread(self._saver, thread_id)
            if thread is None or thread.status != "running":
                return
            await asyncio.sleep(min(LOOKS_EVERY_S, left))

    async def listed(self, status: str | None, limit: int) -> dict[str, Any]:
        """The newest threads."""
        found = await list_threads(self._saver, limit=limit, status=status)
        return {"threads": [_row(thread) for thread in found]}

    async def told(self, thread_id: str, *, whole: bool = True) -> dict[str, Any]:
        """What there is to say of a thread: where it stands, what it asks and, if wanted, what came of it.

        Raises:
            Exception: What ended its run, if that was before anything of it was stored.
        """
        run = self.runs.of(thread_id)
        thread = await get_thread(self._saver, thread_id)
        if thread is None:
            if run is not None and run.error is not None:
                raise run.error
            return {"thread": thread_id, "status": "running"}
        said = _row(thread)
        if thread.status in ("waiting", "running"):
            said["questions"] = [
                {"name": name, **question, "answer_with": how_to_answer(question)}
                for name, question in (await self.questions(thread_id)).items()
            ]
        if run is not None and run.done and run.error is not None and thread.status in ("stopped", "failed"):
            said["error"] = error_words(run.error)
        if whole and thread.status != "running":
            said |= await self._came_of(thread, run)
        return said

    async def _came_of(self, thread: Thread, run: BackgroundRun | None) -> dict[str, Any]:
        if runs_user_graph(thread):
            if thread.status != "completed":
                return {}
            app = run.app if run is not None else await self._app(thread)
            return {"output": as_json(output_of(app, (await app.snapshot(thread.thread_id)).values))}
        values = await state_values(self._saver, thread.thread_id)
        results = current_results(thread, values, current_plan(thread, values))
        shown = {
            name: {"status": result["status"], "output": _cut(result["output"]), "error": result["error"]}
            for name, result in results.items()
        }
        answer = {"answer": values["answer"]} if values.get("answer") else {}
        return {**answer, "results": shown, "workspace": thread.workspace}


def _place_of(thread: Thread) -> dict[str, Any]:
    """Where and how a thread goes on: as it began."""
    kept = {"sandbox": thread.sandbox, "workspace": thread.workspace}
    kept["max_parallel"] = thread.settings.get("max_parallel")
    kept["plan_file"] = thread.plan_file
    return {key: value for key, value in kept.items() if value is not None}


def _row(thread: Thread) -> dict[str, Any]:
    said: dict[str, Any] = {"thread": thread.thread_id, "status": thread.status, "title": thread.title}
    said |= {"progress": thread.progress, "updated_at": thread.updated_at.isoformat()}
    return {**said, **({"error": thread.error} if thread.error else {})}


def _cut(output: Any) -> Any:
    text = output if isinstance(output, str) else repr(output)
    if len(text) <= LONGEST_OUTPUT:
        return output
    return f"{text[:LONGEST_OUTPUT]} [... {len(text) - LONGEST_OUTPUT:,} characters left out]"


def error_words(error: Exception) -> str:
    """An error as the client's reader is told it, with the next step."""
    if isinstance(error, OpenManusGraphError):
        return "\n".join(filter(None, [str(error.message), error.hint]))
    return f"{type(error).__name__}: {error}"
