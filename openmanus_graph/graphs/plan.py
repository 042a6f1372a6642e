"""Plan graph: executes a given plan, `START → dispatcher → END`, with no model involved."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from langchain_core.tools import BaseTool
from langgraph.graph import END, START
from langgraph.types import Command

from openmanus_graph.config.sections import PolicySettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SettingsError
from openmanus_graph.graphs.builders import PLAN_BUILDER
from openmanus_graph.graphs.durable import DurableStateGraph
from openmanus_graph.graphs.subtask import RESERVED_NAMES, build_subtask_graph
from openmanus_graph.nodes.consent import check_asked_edit
from openmanus_graph.nodes.dispatcher import NODE, dispatcher_node, outcome_of
from openmanus_graph.plans.accepted import AcceptedPlans
from openmanus_graph.plans.arguments import check_schema
from openmanus_graph.policy import Policy
from openmanus_graph.questions import Approval, Question
from openmanus_graph.run_config import MAX_PARALLEL, NO_THREAD, PLAN_FILE, SANDBOX, WORKSPACE
from openmanus_graph.state import PlanInput, PlanOutput, PlanState
from openmanus_graph.tools.rebuild import available_tools, nearest, tool_references
from openmanus_graph.tools.registry import BUILTIN_TOOLS, builtin
from openmanus_graph.workspace import default_workspace

ToolChoice = BaseTool | str
PolicyGiven = Policy | PolicySettings | Mapping[str, Any] | str


class PlanGraph(DurableStateGraph):
    """The state graph of a plan; `compile` it with a saver of `open_checkpointer`."""

    def __init__(self, tools: Mapping[str, BaseTool], settings: Settings, policy: Policy | None = None) -> None:
        """Build the graph.

        Args:
            tools: The tools that subtasks may call, by name.
            settings: The user's settings.
            policy: The rules that decide about calls; `None` allows all.
        """
        super().__init__(PlanState, input_schema=PlanInput, output_schema=PlanOutput, settings=settings)
        self.tools = tools
        self.policy = policy
        plans = AcceptedPlans(tools, (), settings.max_subtasks)
        self.plans: AcceptedPlans = plans  # pyright: ignore[reportIncompatibleVariableOverride] - narrower
        self.reference = {
            "builder": PLAN_BUILDER,
            "tools": tool_references(list(tools.values())),
            "policy": None if policy is None else policy.plain(),
        }
        handed = {"policy": policy}
        dispatcher = dispatcher_node(build_subtask_graph(tools, policy), tools, settings, plans, handed=handed)
        self.add_node(NODE, cast("Any", dispatcher))
        self.add_edge(START, NODE)
        self.add_edge(NODE, END)

    def prepare_input(self, given: Any, configurable: Mapping[str, Any]) -> Any:
        """Validate the plan and turn it into JSON values, before anything is written.

        Raises:
            PlanError: If the plan does not validate.
        """
        if isinstance(given, Command):
            update = cast("Any", given.update)
            if not isinstance(update, dict) or "plan" not in update:
                return cast("Any", given)
            changed = {**cast("dict[str, Any]", update), "plan": self.plans.accept(update["plan"]).to_dict()}
            return Command(update=changed, resume=given.resume, goto=given.goto, graph=given.graph)
        if not isinstance(given, Mapping) or "plan" not in given:
            return given
        fields = dict(cast("Mapping[str, Any]", given))
        fields["plan"] = self.plans.accept(fields["plan"]).to_dict()
        thread_id = str(configurable.get("thread_id", NO_THREAD))
        folder = WORKSPACE.get(configurable) or fields.get("workspace") or default_workspace(thread_id)
        workspace = Path(folder).expanduser().absolute()
        if workspace.exists() and not workspace.is_dir():
            raise SettingsError(f"The workspace {str(workspace)!r} is not a folder.", hint="Name another one.")
        fields["workspace"] = str(workspace)
        fields["sandbox"] = str(SANDBOX.get(configurable) or fields.get("sandbox") or self.settings.sandbox)
        return fields

    def thread_row(self, given: Any, configurable: Mapping[str, Any]) -> dict[str, Any]:
        """Columns of the thread's row that a resume by id needs, and those that lists show."""
        row: dict[str, Any] = {
            "graph": dict(self.reference),
            "settings": {"max_parallel": MAX_PARALLEL.get(configurable) or self.settings.max_parallel},
        }
        source: Any = given.update if isinstance(given, Command) else given
        if isinstance(source, Mapping) and "plan" in source:
            fields = cast("Mapping[str, Any]", source)
            row["plan"] = fields["plan"]
            row["plan_file"] = PLAN_FILE.get(configurable)
            row["title"] = _title(fields["plan"])
            row["workspace"] = fields.get("workspace")
            row["sandbox"] = fields.get("sandbox")
        return row

    def check_approval(self, question: Question, approval: Approval, workspace: str | None) -> None:
        """Refuse an edit with arguments that the tool cannot take or the policy refuses.

        Raises:
            UnknownQuestionError: With what is wrong.
        """
        check_asked_edit(question, approval, self.tools, self.policy, workspace)

    def outcome(self, values: Any) -> str:
        """Status of a thread that ran to its end: `completed` if every subtask of the plan is, else `failed`."""
        fields = cast("Mapping[str, Any]", values)
        results = cast("Mapping[str, Any]", fields.get("results") or {})
        ids = [str(subtask["id"]) for subtask in (fields.get("plan") or {}).get("subtasks", [])]
        return outcome_of({key: results[key] for key in ids if key in results})


def _title(plan: Mapping[str, Any]) -> str:
    subtasks = cast("list[dict[str, Any]]", plan.get("subtasks") or [])
    first = str(plan.get("goal") or (subtasks[0].get("goal") if subtasks else "") or "")
    return first.strip().split("\n")[0][:120]


def _chosen_tool(given: Any) -> BaseTool:
    if isinstance(given, BaseTool):
        return given
    if isinstance(given, str):
        if given in BUILTIN_TOOLS:
            return builtin(given)
        near = nearest(given, BUILTIN_TOOLS)
        raise SettingsError(
            f"There is no built-in tool {given!r}.", hint=near or f"There are {', '.join(BUILTIN_TOOLS)}."
        )
    if callable(given) and not isinstance(given, type):
        name = str(getattr(given, "__qualname__", type(given).__qualname__))
        raise SettingsError(
            f"The function {name!r} is given as a tool, and is none.",
            hint="Decorate it with `@tool` of langchain_core.tools; `tool(...)` and `builtin_tool(...)` by themselves"
            " give a decorator.",
        )
    raise SettingsError(
        f"A tool cannot be {given!r}.", hint="Give LangChain tools and names of built-in ones, each by itself."
    )


def chosen_tools(tools: Sequence[ToolChoice] | None) -> dict[str, BaseTool]:
    """Tools by name: LangChain's as they are, built-in ones by name, all of those and those of plug-ins for `None`.

    Raises:
        SettingsError: If two have the same name, a name is unknown or reserved, a schema is none, or one is no tool.
    """
    chosen = list(available_tools(()).values()) if tools is None else [_chosen_tool(tool) for tool in tools]
    by_name: dict[str, BaseTool] = {}
    for tool in chosen:
        if tool.name in by_name:
            raise SettingsError(f"Two tools are named {tool.name!r}.", hint="Rename one of them.")
        if tool.name in RESERVED_NAMES or "|" in tool.name or ":" in tool.name:
            raise SettingsError(f"A tool cannot be named {tool.name!r}.", hint="Rename it.")
        check_schema(tool)
        by_name[tool.name] = tool
    return by_name


def build_plan_graph(
    tools: Sequence[ToolChoice] | None = None,
    *,
    policy: PolicyGiven | None = None,
    settings: Settings | None = None,
) -> PlanGraph:
    """Build the graph that executes plans.

    Args:
        tools: LangChain tools, and built-in ones by name; `None` means all built-in tools and
            those of plug-ins.
        policy: Which calls are made, asked about or refused; `None` means the setting, and without one that every
            call is made: the plan's author wanted it.
        settings: The settings to use instead of those of the environment.

    Returns:
        A `StateGraph`; its input is `{"plan": …}`, its output has `results` by subtask id.

    Raises:
        SettingsError: If two tools have the same name, or a name is unknown or reserved.
    """
    settings = settings or Settings.load()
    stated = policy is not None or settings.policy is not None
    return PlanGraph(chosen_tools(tools), settings, Policy.load(policy, settings) if stated else None)
