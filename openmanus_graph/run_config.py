"""Run config: the keys that this package writes into and reads from LangGraph's `configurable`.

| Key | Written by | Read by | What it is |
|---|---|---|---|
| `thread_id` | the caller | everything | the thread |
| `workspace`, `sandbox` | the caller, else the thread's row | graphs | folder and confinement of the run |
| `max_parallel` | the caller | the dispatcher | subtasks at a time |
| `title`, `plan_file` | the command line | plan and agent graphs | what lists show, where a plan was read from |
| `force` | the caller | `DurableGraph` | go on with a graph that does not fit; removed before the run |
| `idempotency_key` | the ledger | tools | names what a call is to bring about |
| `…openmanus_graph_lease` | `DurableGraph` | saver, ledger, dispatcher | the run's lease |
| `…openmanus_graph_scope` | `DurableGraph` | nodes | the run's scope |
| `…openmanus_graph_said` | the command line | `DurableGraph` | settings of one thread, kept in its row |
| `…openmanus_graph_tools` | user graphs | `tool_context()` | makes the context of a user graph's tools |
| `…openmanus_graph_began` | `DurableGraph` | `WORKSPACE`, `SANDBOX` | what the thread began with of these |

LangGraph copies plain keys into every checkpoint's metadata and hands them out with the configs of its streams. What is
alive or private has a prefix that keeps it out of both, `langgraph_internals.PRIVATE`, shortened to `…` above.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.runnables import RunnableConfig

from openmanus_graph.langgraph_internals import PRIVATE

NO_THREAD = "thread"
"""The id of a run without a thread: nothing of it is stored."""


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One key in `configurable`."""

    name: str
    """The key; with `PRIVATE` in front it stays out of checkpoints and of what streams hand out."""

    def get(self, configurable: Mapping[str, Any]) -> Any:
        """The value in a `configurable`, else what the thread began with; `None` if there is none."""
        began: Mapping[str, Any] = configurable.get(_BEGAN) or {}
        return configurable[self.name] if configurable.get(self.name) is not None else began.get(self.name)

    def of(self, config: RunnableConfig | Mapping[str, Any] | None) -> Any:
        """The value in a config; `None` if it has none."""
        return self.get(configurable_of(config))


_OURS = f"{PRIVATE}openmanus_graph_"
_BEGAN = f"{_OURS}began"

LEASE = ConfigKey(f"{_OURS}lease")
"""The run's `Lease`."""
SCOPE = ConfigKey(f"{_OURS}scope")
"""The run's `Scope`."""
SAID = ConfigKey(f"{_OURS}said")
"""Settings chosen for one thread, by name."""
TOOL_CONTEXT = ConfigKey(f"{_OURS}tools")
"""A function that makes the `ToolContext` of a user graph's tools."""
FORCE = ConfigKey("force")
"""Whether to go on with a graph that does not fit the thread."""
IDEMPOTENCY = ConfigKey("idempotency_key")
"""The idempotency key of the call that runs."""
WORKSPACE = ConfigKey("workspace")
"""The thread's folder."""
SANDBOX = ConfigKey("sandbox")
"""The confinement level, `auto` or `none`."""
MAX_PARALLEL = ConfigKey("max_parallel")
"""Subtasks at a time."""
TITLE = ConfigKey("title")
"""What lists show of the thread."""
PLAN_FILE = ConfigKey("plan_file")
"""The absolute path of the plan's file."""


def with_beginning(configurable: Mapping[str, Any], began: Mapping[ConfigKey, Any]) -> dict[str, Any]:
    """A `configurable` in which these hold for each key that it does not have itself.

    Args:
        configurable: What the caller said.
        began: What the thread began with; `None` and empty values do not count.
    """
    return {**configurable, _BEGAN: {key.name: value for key, value in began.items() if value}}


def configurable_of(config: RunnableConfig | Mapping[str, Any] | None) -> dict[str, Any]:
    """The `configurable` of a config, never `None`; not to be changed in place."""
    return cast("dict[str, Any]", (config or {}).get("configurable") or {})


def thread_id_of(config: RunnableConfig | Mapping[str, Any] | None) -> str:
    """The thread that a config names; `NO_THREAD` if it names none."""
    return str(configurable_of(config).get("thread_id", NO_THREAD))


def with_keys(config: RunnableConfig, values: Mapping[ConfigKey, Any]) -> RunnableConfig:
    """A config with these keys in its `configurable`; the given one stays as it is."""
    added = {key.name: value for key, value in values.items()}
    return cast("RunnableConfig", {**config, "configurable": {**configurable_of(config), **added}})
