"""A graph of somebody's own, in a process of its own: keeps an item, asks, and fails once; prints what comes of it."""

from __future__ import annotations

import asyncio
import json
import operator
import sys
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from langchain_core.messages import HumanMessage
from langgraph.config import get_store, get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from openmanus_graph import open_checkpointer
from openmanus_graph.checkpoints.threads import store_answers
from openmanus_graph.graphs.user.user_graph import make_durable


class State(MessagesState, total=False):
    """Texts in the checkpoint itself, and lists beside it."""

    title: str
    notes: Annotated[list[str], operator.add]
    person: dict[str, Any]


async def main(word: str, fails: str) -> None:
    """Run the graph until it fails or ends."""

    async def keep(_: State) -> dict[str, Any]:
        await get_store().aput(("people", "all"), "one", {"name": word, "age": 40, "more": {"friend": word}})
        get_stream_writer()({"progress": word})
        return {"title": f"about {word}", "notes": [word], "person": {word: [word]}}

    async def asks(state: State) -> dict[str, Any]:
        answer = interrupt({"question": f"Who is {word}?"})
        return {"notes": [f"{answer} {state.get('title')}"]}

    async def breaks(_: State) -> dict[str, Any]:
        if fails == "yes":
            raise RuntimeError(f"no {word} there")
        items = await get_store().asearch(("people",), filter={"name": word})
        return {"notes": [str(item.value) for item in items]}

    graph = StateGraph(State)
    for name, node in {"keep": keep, "asks": asks, "breaks": breaks}.items():
        graph.add_node(name, node)
    graph.add_edge(START, "keep").add_edge("keep", "asks").add_edge("asks", "breaks")
    async with open_checkpointer() as saver:
        app = make_durable(graph, saver)
        config: Any = {"configurable": {"thread_id": "own", "note": word}, "metadata": {"why": word}}
        if not (await app.aget_state(config)).values:
            await app.ainvoke({"messages": [HumanMessage(word)]}, config)
            (question,) = await app.questions("own")
            try:
                await app.ainvoke(
                    Command(resume={question["id"]: {"kind": "answer", "value": f"It is {word}"}}), config
                )
            except RuntimeError as error:
                print(error)
        else:
            await app.ainvoke(None, config)
            await store_answers(saver, "own", {"left-for-later": {"kind": "answer", "value": word}})
        state = await app.aget_state(config)
        listed = [point.metadata async for point in saver.alist(config, filter={"note": word}, limit=2)]
        print(json.dumps({"values": state.values, "listed": listed}, default=str))


asyncio.run(main(*sys.argv[1:]))
