"""React: the rivals, LangGraph's prebuilt agent with one call of a tool per turn, and with as many as it likes."""

from __future__ import annotations

import os
import uuid
import warnings
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver

PROMPT = (
    "You answer a person's question with the help of tools. Call tools until you have seen all you need, several at "
    "once where they do not depend on each other. Say only what you have seen. Then answer, and name your sources."
)


def react_agent(
    base_url: str, tools: list[BaseTool], *, parallel: bool, saver: BaseCheckpointSaver[Any] | None = None
) -> Any:
    """A ReAct loop on the scripted provider, through the same LiteLLM.

    Args:
        base_url: Where the provider answers.
        tools: Its tools.
        parallel: Whether the model may call several tools in one reply.
        saver: Where it keeps its checkpoints; `None` means that it keeps none.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # importing it stays off the network
    from langchain_litellm import ChatLiteLLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is said to have moved to a package that is not installed here
        from langgraph.prebuilt import create_react_agent

        model = ChatLiteLLM(model="openai/scripted", api_base=base_url, api_key="sk-scripted-key")
        bound: Any = model.bind_tools(tools, parallel_tool_calls=parallel)
        return create_react_agent(bound, tools, prompt=PROMPT, checkpointer=saver)


async def ask(agent: Any, question: str) -> str:
    """The agent's answer."""
    config = {"recursion_limit": 200, "configurable": {"thread_id": uuid.uuid4().hex}}
    out = await agent.ainvoke({"messages": [("user", question)]}, config)
    return str(out["messages"][-1].text)
