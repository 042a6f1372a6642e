"""React: the rivals, LangGraph's prebuilt agent with one call of a tool per turn, and with as many as it likes."""

from __future__ import annotations

import os
import warnings
from typing import Any

from langchain_core.tools import BaseTool

PROMPT = (
    "You answer a person's question with the help of tools. Call tools until you have seen all you need, several at "
    "once where they do not depend on each other. Say only what you have seen. Then answer, and name your sources."
)


def react_agent(base_url: str, tools: list[BaseTool], *, parallel: bool) -> Any:
    """A ReAct loop on the scripted provider, through the same LiteLLM, without checkpoints.

    Args:
        base_url: Where the provider answers.
        tools: Its tools.
        parallel: Whether the model may call several tools in one reply.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # importing it stays off the network
    from langchain_litellm import ChatLiteLLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is said to have moved to a package that is not installed here
        from langgraph.prebuilt import create_react_agent

        model = ChatLiteLLM(model="openai/scripted", api_base=base_url, api_key="sk-scripted-key")
        bound: Any = model.bind_tools(tools, parallel_tool_calls=parallel)
        return create_react_agent(bound, tools, prompt=PROMPT)


async def ask(agent: Any, question: str) -> str:
    """The agent's answer."""
    out = await agent.ainvoke({"messages": [("user", question)]}, {"recursion_limit": 200})
    return str(out["messages"][-1].text)
