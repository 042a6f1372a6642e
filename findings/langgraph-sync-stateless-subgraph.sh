#!/usr/bin/env bash
# langgraph 1.2.22: a graph with a subgraph that is compiled with checkpointer=False cannot be run with
# durability="sync", although the documentation offers both: the run fails with an AttributeError of LangGraph's own
# loop, in ainvoke and in invoke. The same graph runs with durability "async" and "exit".
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install langgraph==1.2.22 langgraph-checkpoint==4.3.2 >&2
cat > "$folder/run.py" <<'PY'
import asyncio
from typing import TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    text: str


inner = StateGraph(State)
inner.add_node("shout", lambda state: {"text": state["text"].upper()})
inner.add_edge(START, "shout")
outer = StateGraph(State)
outer.add_node("inner", inner.compile(checkpointer=False))
outer.add_edge(START, "inner")
graph = outer.compile(checkpointer=InMemorySaver())


def outcome(durability: str, *, sync: bool) -> str:
    config = {"configurable": {"thread_id": f"{durability} {sync}"}}
    try:
        if sync:
            return str(graph.invoke({"text": "a"}, config, durability=durability))
        return str(asyncio.run(graph.ainvoke({"text": "a"}, config, durability=durability)))
    except AttributeError as error:
        return f"AttributeError: {error}".split(". Did")[0]


for sync in (False, True):
    for durability in ("exit", "async", "sync"):
        print("invoke" if sync else "ainvoke", durability, outcome(durability, sync=sync))
PY
seen=$("$folder/venv/bin/python" "$folder/run.py")
printf '%s\n' "$seen"
wanted="ainvoke exit {'text': 'A'}
ainvoke async {'text': 'A'}
ainvoke sync AttributeError: 'AsyncPregelLoop' object has no attribute '_put_checkpoint_fut'
invoke exit {'text': 'A'}
invoke async {'text': 'A'}
invoke sync AttributeError: 'SyncPregelLoop' object has no attribute '_put_checkpoint_fut'"
[ "$seen" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
