#!/usr/bin/env bash
# langgraph 1.2.22: a node that calls a @task, and fails after the call has ended, calls it again when its RetryPolicy tries
# the node once more, although the call's result is stored and a resume of the same failure does not make the call again.
# Two ways through one failure: tried again in the process, a payment in a @task is made twice; failed and resumed by
# invoke(None), once. The calls of a node are numbered, and a try in the process goes on counting where the last one ended.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install langgraph==1.2.22 langgraph-checkpoint==4.3.2 >&2
cat > "$folder/run.py" <<'PY'
from typing import TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import task
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy

paid = []
State = TypedDict("State", {"receipt": str})


@task
def pay(amount: int) -> str:
    paid.append(amount)
    return f"receipt {len(paid)}"


def graph(policy: RetryPolicy | None):
    tries = []

    def order(state: State) -> State:
        receipt = pay(10).result()
        tries.append(receipt)
        if len(tries) == 1:
            raise ConnectionError("the confirmation was not sent")
        return {"receipt": receipt}

    builder = StateGraph(State)
    builder.add_node("order", order, retry_policy=policy)
    builder.add_edge(START, "order")
    return builder.compile(checkpointer=InMemorySaver())


thread = {"configurable": {"thread_id": "one"}}

tried_again = graph(RetryPolicy(max_attempts=2, initial_interval=0.01))
out = tried_again.invoke({"receipt": ""}, thread)
print("tried again by the policy:", out["receipt"], "- payments:", len(paid))
assert (out, len(paid)) == ({"receipt": "receipt 2"}, 2)

paid.clear()
resumed = graph(None)
try:
    resumed.invoke({"receipt": ""}, thread)
except ConnectionError:
    out = resumed.invoke(None, thread)
print("failed and resumed:", out["receipt"], "- payments:", len(paid))
assert (out, len(paid)) == ({"receipt": "receipt 1"}, 1)
PY
"$folder/venv/bin/python" "$folder/run.py"
# Seen: tried again by the policy: receipt 2 - payments: 2
# Seen: failed and resumed: receipt 1 - payments: 1
