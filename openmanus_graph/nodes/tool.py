"""Tool: the node that makes one call of one tool and turns whatever comes of it into a result."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime
from pydantic import ValidationError

from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import ForeignTypeError, OpenManusGraphError, ToolArgumentsError, ToolError
from openmanus_graph.events import Emit, Event, now
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.outputs import plain, stored
from openmanus_graph.plan import Subtask
from openmanus_graph.plans.references import resolve
from openmanus_graph.state import SubtaskResult, SubtaskState
from openmanus_graph.tools.spec import ToolSpec, spec_of

FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0


@dataclass(frozen=True)
class SubtaskRun:
    """What the nodes of one subtask are handed at run time; it never enters a checkpoint."""

    context: ToolContext
    """What its tools are handed."""
    lookup: Callable[[str], Any]
    """The whole output of a completed prerequisite, by subtask id."""
    emit: Emit
    """Sends an event to the views."""


@dataclass(frozen=True)
class Outcome:
    """What came of one call."""

    output: Any = None
    error: str | None = None
    known: bool = True
    """Whether it is certain what the call did; a timeout or a broken connection leaves that open."""
    again: bool = True
    """Whether another attempt could end otherwise."""


def failure_in(output: Any) -> str | None:
    """The failure that an output itself states: a non-zero `exit_code`, `timed_out`, or an `error` text."""
    if not isinstance(output, dict):
        return None
    fields = cast("dict[str, Any]", output)
    if fields.get("timed_out") is True:
        return "The command ran into its time limit."
    code = fields.get("exit_code")
    if isinstance(code, int) and code != 0:
        tail = str(fields.get("stderr") or "").strip().splitlines()
        return f"The command ended with exit code {code}{': ' + tail[-1] if tail else ''}."
    error = fields.get("error")
    return error if isinstance(error, str) and error else None


async def call(tool: BaseTool, subtask: Subtask, run: SubtaskRun, config: RunnableConfig, spec: ToolSpec) -> Outcome:
    """Make the call, with references resolved and within its time; never raises for a failure of the tool."""
    limit = subtask.timeout_s if subtask.timeout_s is not None else spec.timeout_s
    scope = asyncio.timeout(limit)
    try:
        arguments = resolve(dict(subtask.args), run.lookup)
        with using_tool_context(run.context):
            async with scope:
                output = plain(await _invoke(tool, arguments, config))
    except GraphBubbleUp:
        raise
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return Outcome(error=f"The tool {tool.name!r} cancelled itself.", known=False)
    except TimeoutError as error:
        if not scope.expired():
            return Outcome(error=f"The tool {tool.name!r} failed: {_words(error)}", known=False)
        return Outcome(error=f"The tool {tool.name!r} did not end within {limit:g} s.", known=False)
    except ValidationError as error:
        return Outcome(error=_arguments_problem(tool, error), again=False)
    except ToolArgumentsError as error:
        return Outcome(error=str(error), again=False)
    except ForeignTypeError as error:
        return Outcome(error=str(error), again=False)
    except (ToolError, ToolException) as error:
        return Outcome(error=str(error))
    except OpenManusGraphError:
        raise  # the engine's own failure, such as a lost database, is not the tool's
    except Exception as error:  # noqa: BLE001 - a tool may raise anything; it becomes its subtask's failure
        return Outcome(error=f"The tool {tool.name!r} failed: {_words(error)}", known=False)
    return Outcome(output=output, error=failure_in(output))


async def _invoke(tool: BaseTool, arguments: dict[str, Any], config: RunnableConfig) -> Any:
    if isinstance(tool, StructuredTool) and tool.coroutine is None:
        return await _in_thread(partial(copy_context().run, tool.invoke, arguments, config))
    return await tool.ainvoke(arguments, config)


async def _in_thread(function: Callable[..., Any]) -> Any:
    """Run what blocks in a thread of its own.

    Not in a pool: a call that ran out of time keeps its thread, which would then be missing for the next ones and
    hold up the end of the process. Slots bound how many there are.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)

    def work() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as raised:  # noqa: BLE001 - handed to whoever awaits
            error = raised
        with suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="tool", daemon=True).start()
    return await future


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _arguments_problem(tool: BaseTool, error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "the arguments"
    return f"The tool {tool.name!r} cannot take {field!r} = {first.get('input')!r}: {first['msg']}."


def retry_delay(attempt: int) -> float:
    """Seconds to wait after the given attempt (from 1): 0.5, doubled each time, at most 30."""
    return min(FIRST_RETRY_SECONDS * 2 ** (attempt - 1), LONGEST_RETRY_SECONDS)


def may_retry(outcome: Outcome, subtask: Subtask, spec: ToolSpec, attempt: int) -> bool:
    """Whether a failed call is made again.

    An external call that is not idempotent is not, once it is unknown what it did.
    """
    if outcome.error is None or not outcome.again or attempt > subtask.retries:
        return False
    return outcome.known or spec.effect != "external" or spec.idempotent


def tool_node(tool: BaseTool) -> Node[SubtaskState]:
    """The gated node of the subtask graph that makes direct calls of `tool`."""
    spec = spec_of(tool)

    async def node(state: SubtaskState, config: RunnableConfig, runtime: Runtime[SubtaskRun]) -> dict[str, Any]:
        run = runtime.context
        subtask = Subtask.model_validate(state.get("subtask"))
        attempt = state.get("attempts", 0) + 1
        started = state.get("started_at") or now()
        run.emit(_event("subtask_started", subtask, attempt))
        outcome = await call(tool, subtask, run, config, spec)
        if may_retry(outcome, subtask, spec, attempt):
            delay = retry_delay(attempt)
            retrying = _event("subtask_retrying", subtask, attempt)
            retrying.update(delay_s=delay, error=outcome.error)
            run.emit(retrying)
            return {"attempts": attempt, "started_at": started, "retry_at": time.time() + delay}
        return {
            "attempts": attempt,
            "started_at": started,
            "retry_at": None,
            "result": _result(outcome, state, run, attempt, started, spec),
        }

    return gated(node, tool.name)


def _event(kind: Any, subtask: Subtask, attempt: int) -> Event:
    return Event(type=kind, id=f"{subtask.id}/{kind}/{attempt}", subtask=subtask.id, attempt=attempt)


def _result(
    outcome: Outcome, state: SubtaskState, run: SubtaskRun, attempt: int, started: str, spec: ToolSpec
) -> SubtaskResult:
    error = outcome.error
    if error is not None and not outcome.known and not spec.repeatable and spec.effect == "external":
        error += " What the call did is unknown, so it is not repeated."
    output, file = None, None
    try:
        output, file = stored(
            outcome.output,
            workspace=run.context.workspace,
            subtask_id=run.context.subtask_id,
            limit=run.context.settings.inline_output,
        )
    except (OSError, ValueError) as problem:
        error = f"The tool's output cannot be kept: {problem}. The call itself was made, and is not repeated."
    return SubtaskResult(
        status="completed" if error is None else "failed",
        output=output,
        error=error,
        attempts=attempt,
        started_at=started,
        finished_at=now(),
        definition=state.get("definition", ""),
        output_file=file,
    )
