"""Invocation: a tool called as LangGraph's `ToolNode` calls it, and what its function really returned.

The node gives the tool what it asks for: `ToolRuntime`, the call's id, the state of its subtask, the store. Its answer
is a message for a model, in which a mapping has become text and an artifact is easily lost; so what the function
returned is noted on the way.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, replace
from functools import partial, wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, cast, get_type_hints
from weakref import ReferenceType, ref

from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.types import Command

from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.langgraph_internals import asks_for_more
from openmanus_graph.state import SubtaskState

if TYPE_CHECKING:
    from langgraph.prebuilt import ToolNode
    from langgraph.prebuilt.tool_node import ToolCallRequest

MESSAGES = "messages"


@dataclass(frozen=True)
class Returned:
    """What a tool returned."""

    content: Any = None
    """What is meant for the caller, as the function returned it."""
    artifact: Any = None
    """What is not meant for models; `None` if there is none."""
    error: str | None = None
    """Why the call failed, in the tool's own words; `None` if it did not."""
    again: bool = True
    """Whether another attempt could end otherwise."""


class _Reached:
    """How far a call came."""

    def __init__(self) -> None:
        self.tool = False
        """Whether the tool was called, after everything that it asks for was there."""
        self.returned: list[Any] = []
        """What its function returned; nothing, unless it ended."""


async def invoke(tool: BaseTool, arguments: Mapping[str, Any], config: RunnableConfig, call_id: str) -> Returned:
    """Call a tool.

    Args:
        tool: The tool.
        arguments: Its arguments, without what is injected.
        config: The node's config.
        call_id: The id of the call, as the tool is told it.

    Raises:
        ToolArgumentsError: If what the tool asks to be given is not there.
        Exception: Whatever the tool raises.
    """
    reached = _Reached()
    noting = _noting(tool)
    node = _node_of(noting) if _asks(tool) else None
    call = ToolCall(type="tool_call", id=call_id, name=tool.name, args=dict(arguments))
    given: Any = None
    token = _reached.set(reached)
    try:
        given = await (noting.ainvoke(call, config) if node is None else node.ainvoke([call], config))
    except Exception as error:
        if not reached.tool and isinstance(error, KeyError | AttributeError | ValueError):
            raise ToolArgumentsError(
                f"The tool {tool.name!r} cannot be given what it asks for: {_why(error)}"
            ) from error
        if not reached.returned:
            raise
    finally:
        _reached.reset(token)
    if reached.returned:
        return _read(reached.returned[0], tool, call_id)
    return _read(_items(given), tool, call_id)  # the tool makes its calls in a way of its own, or handles its errors


def _why(error: Exception) -> str:
    if isinstance(error, KeyError | AttributeError):
        known = ", ".join(sorted(SubtaskState.__annotations__))
        return f"the state of a subtask has no {str(error.args[0])!r}; it has {known}."
    return str(error)


_reached: ContextVar[_Reached] = ContextVar("_reached")
"""How far the call is that is being made."""
_NotingFunctions = tuple[Callable[..., Any], Callable[..., Any]]
_noting_functions: dict[int, tuple[ReferenceType[BaseTool], _NotingFunctions]] = {}
"""`_run` and `_arun` that note, by the `id` of the tools that are there: LangChain reads the signature of each."""


def _noting(tool: BaseTool) -> BaseTool:
    """A copy of a tool, as it is now, that notes what its function returns in `_reached`."""
    number = id(tool)
    known = _noting_functions.get(number)
    if known is None or known[0]() is not tool:
        of = ref(tool, lambda _: _noting_functions.pop(number, None))
        known = _noting_functions[number] = of, _functions_that_note(of)
    copied = tool.model_copy()
    ainvoke = copied.ainvoke

    async def noted_ainvoke(*args: Any, **kwargs: Any) -> Any:
        _reached.get().tool = True
        return await ainvoke(*args, **kwargs)

    noted_run, noted_arun = known[1]
    for name, noted in (("_run", noted_run), ("_arun", noted_arun), ("ainvoke", noted_ainvoke)):
        object.__setattr__(copied, name, noted)  # a model refuses attributes that are no fields
    return copied


def _functions_that_note(of: ReferenceType[BaseTool]) -> _NotingFunctions:
    """`_run` and `_arun` of a tool, noting what they return; what blocks runs in a thread of its own.

    They hold the tool weakly, since they are kept as long as it is there.
    """

    def own(name: str) -> Any:
        return getattr(of(), name)

    @wraps(own("_run"))
    def noted_run(*args: Any, **kwargs: Any) -> Any:
        reached = _reached.get()
        made = own("_run")(*args, **kwargs)
        reached.returned.append(_own(made))
        return made

    @wraps(own("_arun"))
    async def noted_arun(*args: Any, **kwargs: Any) -> Any:
        reached = _reached.get()
        if _blocks(of()):
            manager = kwargs.get("run_manager")
            if manager is not None:
                kwargs["run_manager"] = manager.get_sync()
            made = await _in_thread(partial(copy_context().run, own("_run"), *args, **kwargs))
        else:
            made = await own("_arun")(*args, **kwargs)
        reached.returned.append(_own(made))
        return made

    for noted in (noted_run, noted_arun):
        _tell_signature(noted, own(noted.__name__))
    return noted_run, noted_arun


def _blocks(tool: BaseTool | None) -> bool:
    """Whether a tool has no asynchronous function of its own."""
    if tool is None or getattr(tool, "coroutine", None) is not None:
        return False
    return hasattr(tool, "func") or type(tool)._arun is BaseTool._arun  # pyright: ignore[reportPrivateUsage]


def _tell_signature(noted: Any, own: Any) -> None:
    """Give a function the signature of another, read once, without a reference to it."""
    del noted.__wrapped__
    try:
        noted.__annotations__ = get_type_hints(own, include_extras=True)
        noted.__signature__ = signature(own, eval_str=True)
    except Exception:  # noqa: BLE001 - annotations that cannot be read at run time may raise anything
        noted.__signature__ = signature(own)


def _own(made: Any) -> Any:
    """What was returned, with messages that `ToolNode` cannot change."""
    if isinstance(made, ToolMessage):
        return made.model_copy()
    return [_own(item) for item in cast("list[Any]", made)] if isinstance(made, list) else made


def _node_of(tool: BaseTool) -> ToolNode | None:
    """LangGraph's node of the tool, which injects; `None` if it cannot tell what the tool asks for."""
    from langgraph.prebuilt import ToolNode

    async def hand_over(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Awaitable[Any]]) -> Any:
        known = {key: value for key, value in _fields(request.state).items() if key in SubtaskState.__annotations__}
        state: dict[str, Any] = {MESSAGES: [], **known}
        # The context is the engine's own, and pydantic warns of any under a bare `ToolRuntime`.
        runtime = replace(cast("Any", request).runtime, state=state, context=None)
        return await execute(replace(request, state=state, runtime=runtime))

    try:
        return ToolNode([tool], handle_tool_errors=False, awrap_tool_call=cast("Any", hand_over))
    except Exception:  # noqa: BLE001 - annotations that cannot be read at run time may raise anything
        return None


_OF_INJECTION = "langgraph.prebuilt.tool_node"
"""The module that has what tools ask for."""
_asking: dict[int, tuple[ReferenceType[BaseTool], bool]] = {}
"""Whether tools that are there, by their `id`, ask for anything: a tool has no hash."""


def _asks(tool: BaseTool) -> bool:
    """Whether a tool asks for what only LangGraph's node can give it: runtime, state or store; found out once."""
    if _OF_INJECTION not in sys.modules:  # so the tool cannot name anything of it
        return False
    number = id(tool)
    known = _asking.get(number)
    if known is not None and known[0]() is tool:
        return known[1]
    node = _node_of(tool)
    asks = node is not None and asks_for_more(node, tool.name)
    _asking[number] = ref(tool, lambda _: _asking.pop(number, None)), asks
    return asks


def _fields(state: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", state) if isinstance(state, dict) else {}


def _items(given: Any) -> Any:
    """What `ToolNode` answers for one call, without what it is wrapped in."""
    if _fields(given).keys() == {MESSAGES}:
        return _items(given[MESSAGES])
    if isinstance(given, list):
        items = [_items(item) for item in cast("list[Any]", given)]
        return items[0] if len(items) == 1 else items
    return given


def _read(returned: Any, tool: BaseTool, call_id: str) -> Returned:
    if tool.response_format == "content_and_artifact" and isinstance(returned, tuple):
        pair = cast("tuple[Any, ...]", returned)
        if len(pair) == 2:
            return replace(_read(pair[0], tool, call_id), artifact=pair[1])
    if isinstance(returned, ToolMessage):
        content: Any = returned.text if _is_text(returned.content) else returned.content
        error = str(returned.text or "It failed.") if returned.status == "error" else None
        return Returned(content, returned.artifact, error)
    if isinstance(returned, Command):
        return _read_command(cast("Command[Any]", returned), tool, call_id)
    items = cast("list[Any]", returned) if isinstance(returned, list) else []
    if items and all(isinstance(item, ToolMessage | Command) for item in items):
        parts = [_read(item, tool, call_id) for item in items]
        found = [part.content for part in parts if part.content is not None]
        artifacts = [part.artifact for part in parts if part.artifact is not None]
        error = next((part.error for part in parts if part.error is not None), None)
        return Returned(_one_or_all(found), _one_or_all(artifacts), error)
    return Returned(returned)


def _one_or_all(found: list[Any]) -> Any:
    return found[0] if len(found) == 1 else found or None


def _is_text(content: Any) -> bool:
    return isinstance(content, str) or all(
        isinstance(block, str) or block.get("type") == "text" for block in cast("list[Any]", content)
    )


def _read_command(command: Command[Any], tool: BaseTool, call_id: str) -> Returned:
    """What a `Command` says of the call: a subtask has no state that a tool could change, and no node to go to."""
    update: Any = command.update
    fields = _fields(update)
    listed: Any = fields.get(MESSAGES) if fields else update
    messages = cast("list[Any]", listed) if isinstance(listed, list) else []
    found = [message for message in messages if isinstance(message, ToolMessage)]
    mine = [message for message in found if message.tool_call_id == call_id] or found
    said = Returned() if not mine else _read(mine[-1], tool, call_id)
    others = {key: value for key, value in fields.items() if key != MESSAGES}
    if others:
        said = replace(said, content={"content": said.content, "update": others})
    if command.goto or command.graph:
        where: Any = command.goto or command.graph
        error = f"The tool {tool.name!r} returned a Command that leads to {where!r}; a subtask has nowhere to go."
        return replace(said, error=said.error or error, again=False)
    return said


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
