"""Agent: the node that hands a subtask to a graph of the user's own."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime

from openmanus_graph.agent_nodes import AGENT_PREFIX
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.workspace.file_change_recorder import step_of
from openmanus_graph.context import using_tool_context
from openmanus_graph.errors import OpenManusGraphError
from openmanus_graph.events import now
from openmanus_graph.langgraph_internals import CHECKPOINTER_KEY, with_store
from openmanus_graph.loading.input_schema import input_fields
from openmanus_graph.nodes.brief import brief_text
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.material.vision import CallVision
from openmanus_graph.nodes.outcome import draft_of, failed_or_again, subtask_event
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.outputs import to_json_value
from openmanus_graph.plan import Subtask
from openmanus_graph.run_config import ConfigKey, configurable_of, with_keys
from openmanus_graph.state import SubtaskState

FAILED = ("failed", "failure", "error", "partial", "cancelled", "blocked")
"""What a graph may say in `status` when it did not do what it was to do."""
ANSWER_FIELDS = ("answer", "output", "result", "report", "structured_response")
"""Fields that hold a graph's answer; the last one is that of LangChain's agents with a `response_format`."""
TASK_FIELDS = ("task", "goal", "question", "query", "input")


@runtime_checkable
class KnowsOutcome(Protocol):
    """A graph's builder that can tell how a run of the graph ended, as a `DurableStateGraph` can."""

    def outcome(self, values: Any) -> str:
        """`completed`, `failed` or `partial`, by the state at the end."""
        ...


def agent_input(graph: Pregel[Any, Any, Any, Any], text: str) -> dict[str, Any]:
    """A subtask as the input of a graph: its `messages`, its `task` (or `goal`, `question`, ...), or its only field."""
    fields = input_fields(graph)[0]
    if "messages" in fields:
        return {"messages": [HumanMessage(text)]}
    named = next((name for name in TASK_FIELDS if name in fields), None)
    if named is None and len(fields) != 1:
        raise OpenManusGraphError(
            f"The agent's graph takes {', '.join(fields) or 'nothing'}, and none of that is plainly the task.",
            hint="Give its input schema a field `messages` or `task`.",
        )
    return {named or next(iter(fields)): text}


def agent_answer(values: Any) -> Any:
    """The answer of a graph: `answer`, `output` and the like, else its last message, else everything."""
    if not isinstance(values, Mapping):
        return to_json_value(values)
    fields = cast("Mapping[str, Any]", values)
    for name in ANSWER_FIELDS:
        if fields.get(name) not in (None, ""):
            return to_json_value(fields[name])
    messages = fields.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], BaseMessage):
        return str(messages[-1].text)
    return to_json_value({key: value for key, value in fields.items() if not isinstance(value, BaseMessage)})


def agent_failure(graph: Pregel[Any, Any, Any, Any], values: Any) -> str | None:
    """The reason why a graph failed, where it states one: a `status`, an `error`, or an empty answer."""
    if not isinstance(values, Mapping):
        return None
    fields = cast("Mapping[str, Any]", values)
    status, error, answer = str(fields.get("status") or "").lower(), fields.get("error"), agent_answer(values)
    text = answer if isinstance(answer, str) else ""
    builder: Any = getattr(graph, "builder", None)
    if isinstance(builder, KnowsOutcome) and (outcome := builder.outcome(values)) != "completed":
        return f"it ended as {outcome!r}. {text}".strip()
    if status in FAILED:
        return f"it ended as {status!r}. {error or text}".strip()
    if isinstance(error, str) and error:
        return error
    return "it said nothing." if "messages" in fields and answer == "" else None


def _for_any_values(config: RunnableConfig) -> RunnableConfig:
    """The config with a saver for states of a user's graph, which may hold what ours do not."""
    saver = configurable_of(config).get(CHECKPOINTER_KEY)
    if not isinstance(saver, ThreadSaver):
        return config
    return with_keys(config, {ConfigKey(CHECKPOINTER_KEY): saver.for_any_values()})


def agent_node(name: str, graph: Pregel[Any, Any, Any, Any]) -> Node[SubtaskState]:
    """The gated node that runs an agent's graph on a subtask.

    Args:
        name: The agent's name.
        graph: Its compiled graph; the node's own function refers to it, so that drawings show it.
    """

    async def agent(state: SubtaskState, config: RunnableConfig, runtime: Runtime[SubtaskScope]) -> dict[str, Any]:
        run = runtime.context
        subtask = Subtask.model_validate(state.get("subtask"))
        attempt = state.get("attempts", 0) + 1
        begun: dict[str, Any] = {"attempts": attempt, "started_at": state.get("started_at") or now()}
        run.emit(subtask_event("subtask_started", subtask.id, attempt))
        try:
            given = agent_input(graph, brief_text(subtask, run))
            step = step_of(config, subtask=subtask.id, tool=None, call=None)
            async with run.recorder(run.context.workspace).around(config, step):
                vision = CallVision(run, state, attempt=attempt, of_agent=False)
                with using_tool_context(vision.handed(run.context)):
                    async with asyncio.timeout(subtask.timeout_s):
                        values = await graph.ainvoke(given, with_store(_for_any_values(config), graph.store))
        except (GraphBubbleUp, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - a user's graph may raise anything; it becomes the subtask's failure
            words = str(error) or type(error).__name__
            changed = cast("SubtaskState", {**state, **begun})
            return {**begun, **failed_or_again(changed, run, f"The agent {name!r} failed: {words}")}
        draft = draft_of(agent_answer(values), None, run.context)
        if (failure := agent_failure(graph, values)) is not None:
            changed = cast("SubtaskState", {**state, **begun, "draft": draft})
            return {**begun, **failed_or_again(changed, run, f"The agent {name!r} failed: {failure}")}
        return {**begun, "retry_at": None, "draft": draft}

    return gated(agent, AGENT_PREFIX + name)
