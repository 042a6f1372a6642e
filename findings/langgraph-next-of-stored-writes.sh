#!/usr/bin/env bash
# langgraph 1.2.22: a thread whose process ended after the writes of a step were stored, and before its checkpoint was,
# reads as finished: get_state().next is empty, and so is it for a thread whose last step wrote twice to a field that
# takes one value, where get_state() itself raises what ended the run. Both have work left: invoke(None) goes on with the
# nodes that follow. What tells is get_state() of that checkpoint by its id, which lists the tasks of the step.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install langgraph==1.2.22 langgraph-checkpoint==4.3.2 >&2
cat > "$folder/run.py" <<'PY'
from typing import Annotated, TypedDict
import operator

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import InvalidUpdateError
from langgraph.graph import START, StateGraph


class Gone(Exception):
    """Stands for the end of the process."""


class Saver(InMemorySaver):
    left = 99

    def put(self, *given):
        self.left -= 1
        if self.left < 0:
            raise Gone
        return super().put(*given)


def graph(saver, *, merged: bool = True):
    found = Annotated[list, operator.add] if merged else list
    State = TypedDict("State", {"found": found, "report": str}, total=False)
    builder = StateGraph(State)
    builder.add_node("left", lambda state: {"found": ["left"]})
    builder.add_node("right", lambda state: {"found": ["right"]})
    builder.add_node("join", lambda state: {"report": ",".join(sorted(state["found"]))})
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_edge(["left", "right"], "join")
    return builder.compile(checkpointer=saver)


config = {"configurable": {"thread_id": "t"}}
saver = Saver()
saver.left = 2
try:
    graph(saver).invoke({"report": ""}, config, durability="sync")
except Gone:
    pass
saver.left = 99
state = graph(saver).get_state(config)
print("cut off: next", state.next, "tasks", [task.name for task in state.tasks])
print("by id: next", graph(saver).get_state(state.config).next)
print("goes on:", graph(saver).invoke(None, config)["report"])

saver = Saver()
for _ in range(2):
    try:
        graph(saver, merged=False).invoke({"report": ""} if _ == 0 else None, config)
    except InvalidUpdateError:
        print("the run raises InvalidUpdateError")
try:
    graph(saver, merged=False).get_state(config)
except InvalidUpdateError:
    print("get_state raises InvalidUpdateError")
print("corrected graph: next", graph(saver).get_state(config).next)
print("goes on:", graph(saver).invoke(None, config)["report"])
PY
seen=$("$folder/venv/bin/python" "$folder/run.py")
printf '%s\n' "$seen"
wanted="cut off: next () tasks ['left', 'right']
by id: next ('left', 'right')
goes on: left,right
the run raises InvalidUpdateError
the run raises InvalidUpdateError
get_state raises InvalidUpdateError
corrected graph: next ()
goes on: left,right"
[ "$seen" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
