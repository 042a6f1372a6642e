"""openmanus-graph: a general-purpose agent as a durable workflow engine on LangGraph.

The names below are the public API. They are imported when first used, so that `import openmanus_graph` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from openmanus_graph._version import __version__

if TYPE_CHECKING:
    from openmanus_graph.approval import Approval
    from openmanus_graph.checkpoints.database import open_checkpointer
    from openmanus_graph.checkpoints.events import stored_events
    from openmanus_graph.checkpoints.forking.fork import fork_thread
    from openmanus_graph.checkpoints.history.checkpoint_ref import find_point
    from openmanus_graph.checkpoints.history.diff import diff_points
    from openmanus_graph.checkpoints.history.history import thread_history
    from openmanus_graph.checkpoints.history.playback import playback
    from openmanus_graph.checkpoints.ledger import list_effects
    from openmanus_graph.checkpoints.pruning.retention import prune_thread, thread_sizes
    from openmanus_graph.checkpoints.saver import ThreadSaver
    from openmanus_graph.checkpoints.threads import (
        Thread,
        delete_thread,
        find_thread,
        get_thread,
        list_threads,
    )
    from openmanus_graph.checkpoints.transfer.export_import import export_thread, import_thread
    from openmanus_graph.config.settings import Settings
    from openmanus_graph.context import ToolContext, tool_context, using_tool_context
    from openmanus_graph.errors import (
        AddressRefusedError,
        ArchiveError,
        BudgetError,
        ContextOverflowError,
        DamagedValueError,
        DatabaseError,
        DatabaseFullError,
        DatabaseUnreachableError,
        EmbeddedServerError,
        EncryptionKeyError,
        ForeignTypeError,
        GraphNotImportableError,
        MemoryStoreError,
        MigrationNeededError,
        ModelError,
        ModelRefusedError,
        NoModelError,
        OpenManusGraphError,
        OutsideWorkspaceError,
        PlanError,
        PlanningError,
        RecordingError,
        SandboxUnavailableError,
        ScannedPdfError,
        SettingsError,
        StaleRunnerError,
        ThreadBusyError,
        ThreadUnfinishedError,
        ThreadUnreadableError,
        ThreadVersionError,
        ToolArgumentsError,
        ToolError,
        UnknownPointError,
        UnknownQuestionError,
        UnknownThreadError,
        UsageError,
        VectorIndexError,
    )
    from openmanus_graph.events import Event
    from openmanus_graph.graphs.deep_research import build_deep_research
    from openmanus_graph.graphs.manus import build_manus_graph
    from openmanus_graph.graphs.plan import build_plan_graph
    from openmanus_graph.graphs.resume_preview import resume_preview
    from openmanus_graph.graphs.user.user_graph import make_durable
    from openmanus_graph.loading.graphs import load_graph
    from openmanus_graph.loading.plugins import Agent
    from openmanus_graph.memory.memory import Memory
    from openmanus_graph.nodes.gate import Gate
    from openmanus_graph.plan import Plan, Subtask
    from openmanus_graph.policy import Policy
    from openmanus_graph.questions import Answer, Question, ask
    from openmanus_graph.running import rerun_thread, run
    from openmanus_graph.state import SubtaskResult
    from openmanus_graph.stepping.stepper import Stepper

_HOMES = {
    # plans
    "Plan": "plan",
    "Subtask": "plan",
    "SubtaskResult": "state",
    # graphs and runs
    "build_manus_graph": "graphs.manus",
    "build_deep_research": "graphs.deep_research",
    "Agent": "loading.plugins",
    "Memory": "memory.memory",
    "Policy": "policy",
    "Approval": "approval",
    "stored_events": "checkpoints.events",
    "build_plan_graph": "graphs.plan",
    "load_graph": "loading.graphs",
    "make_durable": "graphs.user.user_graph",
    "run": "running",
    "Gate": "nodes.gate",
    "Stepper": "stepping.stepper",
    "Event": "events",
    "Question": "questions",
    "Answer": "questions",
    "ask": "questions",
    # threads
    "open_checkpointer": "checkpoints.database",
    "ThreadSaver": "checkpoints.saver",
    "Thread": "checkpoints.threads",
    "list_threads": "checkpoints.threads",
    "find_thread": "checkpoints.threads",
    "get_thread": "checkpoints.threads",
    "delete_thread": "checkpoints.threads",
    # time travel
    "find_point": "checkpoints.history.checkpoint_ref",
    "thread_history": "checkpoints.history.history",
    "diff_points": "checkpoints.history.diff",
    "playback": "checkpoints.history.playback",
    "fork_thread": "checkpoints.forking.fork",
    "rerun_thread": "running",
    "thread_sizes": "checkpoints.pruning.retention",
    "prune_thread": "checkpoints.pruning.retention",
    "export_thread": "checkpoints.transfer.export_import",
    "import_thread": "checkpoints.transfer.export_import",
    "list_effects": "checkpoints.ledger",
    "resume_preview": "graphs.resume_preview",
    # tools and settings
    "Settings": "config.settings",
    "ToolContext": "context",
    "tool_context": "context",
    "using_tool_context": "context",
    # errors
    "OpenManusGraphError": "errors",
    "UsageError": "errors",
    "VectorIndexError": "errors",
    "PlanError": "errors",
    "SettingsError": "errors",
    "UnknownThreadError": "errors",
    "UnknownPointError": "errors",
    "UnknownQuestionError": "errors",
    "ThreadBusyError": "errors",
    "ThreadUnfinishedError": "errors",
    "ThreadVersionError": "errors",
    "GraphNotImportableError": "errors",
    "NoModelError": "errors",
    "ArchiveError": "errors",
    "RecordingError": "errors",
    "BudgetError": "errors",
    "ModelError": "errors",
    "ModelRefusedError": "errors",
    "ContextOverflowError": "errors",
    "PlanningError": "errors",
    "DatabaseError": "errors",
    "DatabaseUnreachableError": "errors",
    "DamagedValueError": "errors",
    "DatabaseFullError": "errors",
    "MemoryStoreError": "errors",
    "MigrationNeededError": "errors",
    "EmbeddedServerError": "errors",
    "EncryptionKeyError": "errors",
    "ThreadUnreadableError": "errors",
    "StaleRunnerError": "errors",
    "ForeignTypeError": "errors",
    "ToolError": "errors",
    "ToolArgumentsError": "errors",
    "SandboxUnavailableError": "errors",
    "ScannedPdfError": "errors",
    "OutsideWorkspaceError": "errors",
    "AddressRefusedError": "errors",
}

_EXTENSION = {"load_ipython_extension": "notebook", "unload_ipython_extension": "notebook"}
"""What IPython looks for at `%load_ext openmanus_graph`; nothing for programs."""

__all__ = [
    "AddressRefusedError",
    "Agent",
    "Answer",
    "Approval",
    "ArchiveError",
    "BudgetError",
    "ContextOverflowError",
    "DamagedValueError",
    "DatabaseError",
    "DatabaseFullError",
    "DatabaseUnreachableError",
    "EmbeddedServerError",
    "EncryptionKeyError",
    "Event",
    "ForeignTypeError",
    "Gate",
    "GraphNotImportableError",
    "Memory",
    "MemoryStoreError",
    "MigrationNeededError",
    "ModelError",
    "ModelRefusedError",
    "NoModelError",
    "OpenManusGraphError",
    "OutsideWorkspaceError",
    "Plan",
    "PlanError",
    "PlanningError",
    "Policy",
    "Question",
    "RecordingError",
    "SandboxUnavailableError",
    "ScannedPdfError",
    "Settings",
    "SettingsError",
    "StaleRunnerError",
    "Stepper",
    "Subtask",
    "SubtaskResult",
    "Thread",
    "ThreadBusyError",
    "ThreadSaver",
    "ThreadUnfinishedError",
    "ThreadUnreadableError",
    "ThreadVersionError",
    "ToolArgumentsError",
    "ToolContext",
    "ToolError",
    "UnknownPointError",
    "UnknownQuestionError",
    "UnknownThreadError",
    "UsageError",
    "VectorIndexError",
    "__version__",
    "ask",
    "build_deep_research",
    "build_manus_graph",
    "build_plan_graph",
    "delete_thread",
    "diff_points",
    "export_thread",
    "find_point",
    "find_thread",
    "fork_thread",
    "get_thread",
    "import_thread",
    "list_effects",
    "list_threads",
    "load_graph",
    "make_durable",
    "open_checkpointer",
    "playback",
    "prune_thread",
    "rerun_thread",
    "resume_preview",
    "run",
    "stored_events",
    "thread_history",
    "thread_sizes",
    "tool_context",
    "using_tool_context",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    home = _HOMES.get(name) or _EXTENSION.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
