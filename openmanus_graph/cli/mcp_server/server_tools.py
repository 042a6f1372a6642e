"""Server tools: what the MCP server offers its clients, and their calls."""

# The SDK's annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from langgraph.graph import StateGraph

from openmanus_graph import shell_commands
from openmanus_graph.cli.mcp_server.background_runs import BackgroundRun, Progress
from openmanus_graph.cli.mcp_server.elicited import answer_in
from openmanus_graph.cli.mcp_server.served_threads import ServedThreads, error_words
from openmanus_graph.errors import OpenManusGraphError, UsageError
from openmanus_graph.loading.graphs import load_graph
from openmanus_graph.loading.input_schema import json_schema_of
from openmanus_graph.loading.langgraph_json import find_project
from openmanus_graph.plans.json_schema import validator_of
from openmanus_graph.questions import Question, answers_for

logger = logging.getLogger(__name__)

WAIT_S, LONGEST_WAIT_S = 30.0, 3600.0
"""Seconds that a call waits for the end of a run, unless it says; and at most."""
GRAPH = "graph_"
_WAIT: dict[str, Any] = {
    "type": "number",
    "minimum": 0,
    "maximum": LONGEST_WAIT_S,
    "description": f"Seconds to wait for the end, {WAIT_S:g} unless said; it goes on afterwards in any case.",
}
_THREAD: dict[str, Any] = {"type": "string", "description": "The thread's id, or a unique beginning of it."}
_STATUSES = ["running", "waiting", "paused", "stopped", "completed", "failed", "partial"]


def _tool(words: str, needed: tuple[str, ...] = (), *, reads: bool = False, **fields: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": fields, "required": list(needed), "additionalProperties": False}
    hints = {"readOnlyHint": reads, "openWorldHint": not reads}
    return {"description": words, "inputSchema": schema, "annotations": hints}


TOOLS: dict[str, dict[str, Any]] = {
    "run": _tool(
        "Hand the agent a task, or run a plan. Gives the thread's id, by which it is asked for and goes on after a "
        "crash, and what came of it if it ends in time.",
        task={"type": "string", "description": "What is to be done, in words; this or `plan`."},
        plan={"type": "object", "description": "A plan: `goal` and `subtasks`, as in a plan file."},
        thread={"type": "string", "description": "A new thread's id, or that of a conversation that goes on."},
        wait_s=_WAIT,
    ),
    "resume": _tool(
        "Go on with a thread after a crash, a pause or a failure; nothing that is done is done again.",
        ("thread",),
        thread=_THREAD,
        wait_s=_WAIT,
    ),
    "answer": _tool(
        "Answer what a thread asks: put the question to your user. Questions about effects only a person answers.",
        ("thread",),
        thread=_THREAD,
        answer={"type": "string", "description": "The answer, where one question is open."},
        answers={
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Answers by the questions' names.",
        },
        wait_s=_WAIT,
    ),
    "status": _tool("Where a thread stands, and what it asks.", ("thread",), reads=True, thread=_THREAD),
    "result": _tool("What came of a thread; waits for its end.", ("thread",), reads=True, thread=_THREAD, wait_s=_WAIT),
    "threads": _tool(
        "The newest threads.",
        reads=True,
        status={"type": "string", "enum": _STATUSES},
        limit={"type": "integer", "minimum": 1, "maximum": 200},
    ),
}

Elicit = Callable[[str, Mapping[str, Question]], Awaitable[Mapping[str, Any] | None]]
"""Puts a thread's questions to the client's person by their names; gives the responses, or `None` where nobody can be
asked."""


class ServerTools:
    """The tools, over the threads of one store."""

    def __init__(self, threads: ServedThreads, *, client_approves: bool = False) -> None:
        """Offer the tools.

        Args:
            threads: What they run and look at.
            client_approves: Whether the tool `answer` decides about effects, too.
        """
        self._threads, self._client_approves = threads, client_approves
        self._graphs: dict[str, tuple[str, dict[str, Any], bool]] | None = None

    async def listed(self) -> list[dict[str, Any]]:
        """All tools as the protocol lists them: those of threads, and the registered graphs."""
        graphs = await self._registered()
        return [{"name": name, **tool} for name, tool in (*TOOLS.items(), *((k, v[1]) for k, v in graphs.items()))]

    async def _registered(self) -> dict[str, tuple[str, dict[str, Any], bool]]:
        """By tool: the graph's name, the tool, and whether its input stands in a field of its own."""
        if self._graphs is None:
            project = find_project()
            self._graphs = {}
            for name in project.graphs if project else ():
                try:
                    async with await load_graph(name) as loaded:
                        graph: Any = loaded.graph
                        compiled = graph.compile() if isinstance(graph, StateGraph) else graph
                        schema = json_schema_of(compiled)
                        words = loaded.description or f"Run the graph {name}."
                except Exception as error:  # noqa: BLE001 - a user's module may raise anything; it costs its graph
                    logger.warning("The graph %r cannot be offered: %s", name, error_words(error))
                    continue
                inside = schema.get("type") != "object"
                if inside:
                    schema = {"type": "object", "properties": {"input": schema}, "required": ["input"]}
                key = GRAPH + re.sub(r"[^A-Za-z0-9_-]", "_", name)[:50]
                key = key if key not in self._graphs else f"{key}_{len(self._graphs)}"
                tool = {"description": words, "inputSchema": schema, "annotations": {"readOnlyHint": False}}
                self._graphs[key] = name, tool, inside
        return self._graphs

    async def call(self, name: str, args: Mapping[str, Any], progress: Progress, elicit: Elicit) -> dict[str, Any]:
        """Make a call.

        Args:
            name: The tool.
            args: Its arguments.
            progress: Takes what a run says.
            elicit: Asks the client's person.

        Raises:
            OpenManusGraphError: With what is wrong, for the reader.
        """
        graphs = await self._registered()
        tool = TOOLS.get(name) or (graphs[name][1] if name in graphs else None)
        if tool is None:
            raise UsageError(f"There is no tool {name!r}.", hint=f"There are: {', '.join([*TOOLS, *graphs])}.")
        for error in validator_of(tool["inputSchema"]).iter_errors(dict(args)):
            place = ".".join(str(part) for part in error.absolute_path)
            raise UsageError(f"The arguments do not fit{f' at {place!r}' if place else ''}: {error.message[:300]}.")
        if name in graphs:
            place, _, inside = graphs[name]
            run = await self._threads.begin_graph(place, args["input"] if inside else dict(args))
            return await self.followed(run.thread_id, run, WAIT_S, progress, elicit)
        wait_s = float(args.get("wait_s", WAIT_S))
        match name:
            case "threads":
                return await self._threads.listed(args.get("status"), int(args.get("limit", 20)))
            case "status":
                return await self._threads.told((await self._threads.find(args["thread"])).thread_id, whole=False)
            case "run":
                run = await self._begun(args)
                return await self.followed(run.thread_id, run, wait_s, progress, elicit)
            case "result":
                thread_id = (await self._threads.find(args["thread"])).thread_id
                return await self.followed(thread_id, self._threads.runs.of(thread_id), wait_s, progress, elicit)
            case _:
                return await self._going_on(name, args, wait_s, progress, elicit)

    async def _begun(self, args: Mapping[str, Any]) -> BackgroundRun:
        task = str(args.get("task") or "").strip()
        if bool(task) == ("plan" in args):
            raise UsageError("Give `task` or `plan`, one of both.")
        if task:
            return await self._threads.begin_task(task, args.get("thread"))
        return await self._threads.begin_plan(args["plan"], args.get("thread"))

    async def _going_on(
        self, name: str, args: Mapping[str, Any], wait_s: float, progress: Progress, elicit: Elicit
    ) -> dict[str, Any]:
        """Resume a thread, or answer it."""
        thread_id = (await self._threads.find(args["thread"])).thread_id
        answers: tuple[str, ...] = ()
        if name == "answer":
            named = cast("dict[str, str]", args.get("answers") or {})
            answers = (*((args["answer"],) if "answer" in args else ()), *(f"{k}={v}" for k, v in named.items()))
            if not answers:
                raise UsageError("Give `answer`, or `answers` by the questions' names.")
            await self._refuse_decisions(thread_id, answers)
        run = await self._threads.go_on(thread_id, answers)
        return await self.followed(thread_id, run, wait_s, progress, elicit)

    async def _refuse_decisions(self, thread_id: str, answers: tuple[str, ...]) -> None:
        """Refuse to let the client decide itself about effects, which its model might do unasked.

        Raises:
            UsageError: If it would.
        """
        if self._client_approves:
            return
        questions = await self._threads.questions(thread_id)
        given = answers_for(list(questions.values()), list(answers)) if questions else {}
        for name, question in questions.items():
            if question["id"] in given and question["kind"] != "answer":
                raise UsageError(
                    f"The question {name!r} is about an effect, and a client cannot decide it by itself.",
                    hint=f"Your user answers it with: {shell_commands.resume(thread_id)}",
                )

    async def followed(
        self, thread_id: str, run: BackgroundRun | None, wait_s: float, progress: Progress, elicit: Elicit
    ) -> dict[str, Any]:
        """Wait for the end of a run, and put what it asks to the client's person.

        Args:
            thread_id: The thread.
            run: Its run here, or `None`.
            wait_s: For how long.
            progress: Takes what the run says.
            elicit: Asks the client's person.
        """
        while True:
            if run is None:
                await self._threads.wait_for_others(thread_id, wait_s)
            else:
                await run.watch(wait_s, progress)
            said = await self._threads.told(thread_id)
            if said["status"] != "waiting" or not (questions := await self._threads.questions(thread_id)):
                return said
            responses = await elicit(thread_id, questions)
            is_answered, run = (False, None) if responses is None else await self.answered(thread_id, responses)
            if not is_answered:
                return {**said, "next": self._next(thread_id, questions)}

    def _next(self, thread_id: str, questions: Mapping[str, Question]) -> str:
        """How what is asked gets its answer."""
        if self._client_approves or all(question["kind"] == "answer" for question in questions.values()):
            return "Put the questions to your user, and give the answers by the tool `answer`."
        return f"It is about an effect: your user answers it with: {shell_commands.resume(thread_id)}"

    async def answered(self, thread_id: str, responses: Mapping[str, Any]) -> tuple[bool, BackgroundRun | None]:
        """Go on with what a client's person said; whether that was anything, and the run.

        Args:
            thread_id: The thread.
            responses: Responses by the questions' names.
        """
        questions = await self._threads.questions(thread_id)
        given = {
            name: answer
            for name, question in questions.items()
            if (answer := answer_in(question, responses.get(name))) is not None
        }
        if not given:
            return False, None
        texts = tuple(f"{name}={answer}" for name, answer in given.items())
        return True, await self._threads.go_on(thread_id, texts)


def as_result(said: Mapping[str, Any]) -> dict[str, Any]:
    """What a call says, as the protocol has it."""
    text = json.dumps(said, ensure_ascii=False, indent=1, default=str)
    return {"content": [{"type": "text", "text": text}], "structuredContent": json.loads(json.dumps(said, default=str))}


def as_failure(error: Exception) -> dict[str, Any]:
    """Why a call failed, as the protocol has it: with the sentence and the next step, for the reader."""
    known = isinstance(error, OpenManusGraphError | OSError)
    if not known:
        logger.warning("A call failed.", exc_info=error)
    return {"content": [{"type": "text", "text": error_words(error)}], "isError": True}
