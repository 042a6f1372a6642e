"""Run config: the keys that this package writes into and reads from LangGraph's `configurable`.

| Key | Written by | Read by | What it is |
|---|---|---|---|
| `thread_id` | the caller | everything | the thread |
| `workspace`, `sandbox` | the caller, else the thread's row | graphs | folder and confinement of the run |
| `max_parallel` | the caller | the dispatcher | subtasks at a time |
| `title`, `plan_file` | the command line | plan and agent graphs | what lists show, where a plan was read from |
| `force` | the caller | `DurableGraph` | go on with a graph that does not fit; removed before the run |
| `idempotency_key` | the ledger | tools | names what a call is to bring about |
| `__openmanus_graph_lease` | `DurableGraph` | saver, ledger, dispatcher | the run's lease |
| `__openmanus_graph_scope` | `DurableGraph` | nodes | the run's scope |
| `__openmanus_graph_said` | the command line | `DurableGraph` | settings chosen for one thread, kept in its row |
| `__openmanus_graph_tools` | user graphs | `tool_context()` | makes the context of a user graph's tools |

LangGraph copies plain keys into every checkpoint's metadata and keeps those with two underscores out of it, so what is
alive or private has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.runnables import RunnableConfig

NO_THREAD = "thread"
"""The id of a run without a thread: nothing of it is stored."""


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One key in `configurable`."""

    name: str
    """The key; with two underscores in front it stays out of checkpoints."""

    def get(self, configurable: Mapping[str, Any]) -> Any:
        """The value in a `configurable`; `None` if it has none."""
        return configurable.get(self.name)

    def of(self, config: RunnableConfig | Mapping[str, Any] | None) -> Any:
        """The value in a config; `None` if it has none."""
        return configurable_of(config).get(self.name)


LEASE = ConfigKey("__openmanus_graph_lease")
"""The run's `Lease`."""
SCOPE = ConfigKey("__openmanus_graph_scope")
"""The run's `Scope`."""
SAID = ConfigKey("__openmanus_graph_said")
"""Settings chosen for one thread, by name."""
TOOL_CONTEXT = ConfigKey("__openmanus_graph_tools")
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
