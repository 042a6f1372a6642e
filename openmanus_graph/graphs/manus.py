"""Manus: the agent's graph; it reads as the architecture.

`START → knowledge → coordinator → planner → review → dispatcher → coordinator → remember → END`, where the coordinator
answers, asks, or gives work, and sees what came of it in the same conversation, until it answers. Where the planner has
a model of its own, that one plans; the reporter answers where the coordinator cannot have seen enough.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.types import Command

from openmanus_graph.agent_nodes import (
    CLARIFY,
    COORDINATOR,
    EXECUTOR,
    KNOWLEDGE,
    PLANNER,
    REMEMBER,
    REPORTER,
    REVIEW,
    WORKERS,
)
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SettingsError, UnknownQuestionError, UsageError
from openmanus_graph.graphs.builders import AGENT_BUILDER
from openmanus_graph.graphs.durable import DurableStateGraph
from openmanus_graph.graphs.plan import PolicyGiven, ToolChoice, chosen_tools
from openmanus_graph.graphs.subtask import Agents, build_subtask_graph
from openmanus_graph.loading.plugins import Agent, agent_of, find_agents
from openmanus_graph.loading.skills import workspace_instructions
from openmanus_graph.memory.memory import Memory
from openmanus_graph.models.catalog import REPLAY_PREFIX
from openmanus_graph.models.clean_text import cleaned
from openmanus_graph.models.gateway import Models, ModelsChoice
from openmanus_graph.namespaces import DISPATCHER
from openmanus_graph.nodes.clarify import clarify_node
from openmanus_graph.nodes.consent import check_asked_edit
from openmanus_graph.nodes.coordinator import coordinator_node
from openmanus_graph.nodes.dispatcher import dispatcher_node
from openmanus_graph.nodes.knowledge import knowledge_node
from openmanus_graph.nodes.material.prompt_context import background_text
from openmanus_graph.nodes.planner import planner_node
from openmanus_graph.nodes.planning.proposal import checked_edit
from openmanus_graph.nodes.planning.tool_catalogue import told_agents
from openmanus_graph.nodes.remember import remember_node
from openmanus_graph.nodes.reporter import reporter_node
from openmanus_graph.nodes.review import review_node
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.transitions import at_stage, begun, deciding_nodes, plain_edges, router, targets
from openmanus_graph.plans.accepted import AcceptedPlans
from openmanus_graph.policy import Policy
from openmanus_graph.questions import Approval, Question
from openmanus_graph.run_config import MAX_PARALLEL, NO_THREAD, PLAN_FILE, SANDBOX, WORKSPACE
from openmanus_graph.state import TRY_AGAIN, ManusInput, ManusOutput, ManusState
from openmanus_graph.tools.rebuild import tool_references
from openmanus_graph.values.storable_json import storable_text
from openmanus_graph.workspace import default_workspace

AgentChoice = Pregel[Any, Any, Any, Any] | StateGraph[Any, Any, Any, Any] | Agent
"""A graph of the user's own, compiled or not, or one with a description."""

EXECUTOR_WORK = "Works on a goal with tools, where something must be judged, written or tried out."
KNOWLEDGE_WORK = "Answers from memory or the Web."
TITLE_CHARACTERS = 120


class ManusGraph(DurableStateGraph):
    """The state graph of the agent; `compile` it with a saver of `open_checkpointer`."""

    def __init__(self, roles: Roles, agents: Agents, memory: Memory) -> None:
        """Build the graph.

        Args:
            roles: What the nodes share.
            agents: Graphs that subtasks may be given to, by name.
            memory: What it remembers with.
        """
        super().__init__(ManusState, input_schema=ManusInput, output_schema=ManusOutput, settings=roles.settings)
        self.roles = roles
        self.tools = roles.tools
        plans = AcceptedPlans(roles.tools, list(roles.agents), roles.settings.max_subtasks)
        self.plans: AcceptedPlans = plans  # pyright: ignore[reportIncompatibleVariableOverride] - narrower
        subtask_graph = build_subtask_graph(roles.tools, roles.policy, roles, agents, memory)
        handed = {"models": roles.models, "policy": roles.policy}
        dispatcher = dispatcher_node(
            subtask_graph, roles.tools, roles.settings, plans, background_text, at_stage("dispatched"), handed
        )

        self.add_node(COORDINATOR, cast("Any", coordinator_node(roles)))
        self.add_node(CLARIFY, cast("Any", clarify_node(roles)))
        self.add_node(KNOWLEDGE, cast("Any", knowledge_node(roles, memory)))
        self.add_node(PLANNER, cast("Any", planner_node(roles)))
        self.add_node(REVIEW, cast("Any", review_node(roles)))
        # Its own annotation is the state of a plan, which has neither the task nor what came with it.
        self.add_node(DISPATCHER, cast("Any", dispatcher), input_schema=ManusState)
        self.add_node(REPORTER, cast("Any", reporter_node(roles)))
        self.add_node(REMEMBER, cast("Any", remember_node(roles, memory)))

        for node, following in plain_edges():
            self.add_edge(node, following)
        for node in deciding_nodes():
            self.add_conditional_edges(node, router(node), targets(node))

    def prepare_input(self, given: Any, configurable: Mapping[str, Any]) -> Any:
        """Make the input plain and complete, before anything is written.

        Raises:
            UsageError: If it names no task, no plan, and nothing to try again.
            PlanError: If a given plan does not validate.
        """
        if isinstance(given, Command) or given is None or not isinstance(given, Mapping):
            return given
        fields = dict(cast("Mapping[str, Any]", given))
        if fields.pop("again", False):
            return begun("again")
        fields |= self._request(fields)
        folder = WORKSPACE.get(configurable) or fields.get("workspace")
        workspace = Path(folder or default_workspace(str(configurable.get("thread_id", NO_THREAD))))
        workspace = workspace.expanduser().absolute()
        if workspace.exists() and not workspace.is_dir():
            raise SettingsError(f"The workspace {str(workspace)!r} is not a folder.", hint="Name another one.")
        fields["workspace"] = str(workspace)
        fields["sandbox"] = str(SANDBOX.get(configurable) or fields.get("sandbox") or self.settings.sandbox)
        fields["instructions"] = workspace_instructions(workspace, self.settings)
        fields["attachments"] = [str(name) for name in fields.get("attachments") or []]
        return fields

    def _request(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a new request: its task in the person's words, or its plan."""
        if fields.get("plan"):
            plan = self.plans.accept(fields["plan"])
            task = storable_text(str(fields.get("task") or plan.goal or "Carry out the given plan."))
            return {"plan": plan.to_dict(), "task": task, "messages": [HumanMessage(task)], **begun("planned")}
        messages: list[BaseMessage] = [cleaned(one) for one in convert_to_messages(fields.get("messages") or [])]
        task = storable_text(str(fields.get("task") or "")).strip()
        if not task:
            task = next(
                (str(message.text) for message in reversed(messages) if isinstance(message, HumanMessage)), ""
            ).strip()
        if not task:
            raise UsageError(
                "The input names no task.", hint='Give {"task": "..."}, {"plan": ...}, or {"again": True} to try again.'
            )
        return {"task": task, "messages": messages or [HumanMessage(task)], **begun("new")}

    def thread_row(self, given: Any, configurable: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of the thread's row: what a resume by id needs, and what lists show."""
        row: dict[str, Any] = {
            "graph": dict(self.reference),
            "settings": {"max_parallel": MAX_PARALLEL.get(configurable) or self.settings.max_parallel},
        }
        if isinstance(given, Mapping):
            fields = cast("Mapping[str, Any]", given)
            row["new_request"] = fields.get("stage") != TRY_AGAIN
            row["title"] = str(fields.get("task") or "").strip().split("\n")[0][:TITLE_CHARACTERS]
            row["workspace"] = fields.get("workspace")
            row["sandbox"] = fields.get("sandbox")
            row["plan"] = fields.get("plan")
            row["plan_file"] = PLAN_FILE.get(configurable)
        return row

    def check_approval(self, question: Question, approval: Approval, workspace: str | None) -> None:
        """Refuse an edited plan that is not sound, and arguments that the tool cannot take or the policy refuses.

        Raises:
            UnknownQuestionError: With what is wrong.
        """
        if approval.plan is None:
            check_asked_edit(question, approval, self.tools, self.roles.policy, workspace)
            return
        limit = self.roles.settings.max_subtasks
        edited, problems = checked_edit(approval.plan, self.tools, list(self.roles.agents), limit)
        if edited is None:
            raise UnknownQuestionError(
                f"The edited plan cannot be taken: {' '.join(problems)}", hint="Correct it, or answer with yes or no."
            )

    def outcome(self, values: Any) -> str:
        """The status that the coordinator or the reporter set: `completed`, `failed` or `partial`."""
        return str(cast("Mapping[str, Any]", values).get("status") or "failed")


def build_manus_graph(
    models: ModelsChoice | None = None,
    tools: Sequence[ToolChoice] | None = None,
    policy: PolicyGiven | None = None,
    agents: Mapping[str, AgentChoice] | None = None,
    instructions: str = "",
    *,
    memory: Memory | None = None,
    settings: Settings | None = None,
) -> ManusGraph:
    """Build the agent's graph.

    Args:
        models: A model's name, a LangChain chat model, or either by role (`default` for the rest); `None` means what
            the settings say.
        tools: LangChain tools, and built-in ones by name; `None` means all built-in tools and those of
            plug-ins.
        policy: Which calls are made, asked about or refused: `allow`, `ask`, `deny`, a table of rules or a TOML file;
            `None` means the setting, and without one that calls with external effects are asked about.
        agents: Graphs of one's own that the planner may give subtasks to, by name; `None` means those of plug-ins.
        instructions: More instructions for every role.
        memory: What it remembers with; `None` means past requests in the Postgres of the checkpoints.
        settings: The settings to use instead of those of the environment.

    Returns:
        A `StateGraph`; its input is `{"task": …}`, its output has `answer`, `status`, `plan` and `results`.

    Raises:
        SettingsError: If two tools or agents have the same name, or one is reserved, or the policy cannot be read.
        NoModelError: If no model is configured.
    """
    settings = settings or Settings.load()
    gateway = Models(settings, models)
    gateway.require()
    by_name = chosen_tools(tools)
    known = find_agents() if agents is None else {name: agent_of(name, graph) for name, graph in agents.items()}
    if taken := next((name for name in WORKERS if name in known), None):
        raise SettingsError(f"An agent cannot be named {taken!r}.", hint="Rename it.")
    own = {EXECUTOR: EXECUTOR_WORK, KNOWLEDGE: KNOWLEDGE_WORK}
    described = {**own, **{name: agent.description for name, agent in known.items()}}
    rules = Policy.load(policy, settings)
    roles = Roles(gateway, by_name, described, rules, settings, instructions)
    built = ManusGraph(roles, {name: agent.graph for name, agent in known.items()}, memory or Memory())
    built.reference = {
        "builder": AGENT_BUILDER,
        "tools": tool_references(list(by_name.values())),
        "models": _portable_models(models),
        "importable": gateway.importable,
        "agents": sorted(known),
        "agents_told": list(told_agents(roles)),
        "policy": rules.plain(),
        "instructions": instructions,
    }
    return built


def _portable_models(models: ModelsChoice | None) -> Any:
    """The models for another process; chat models are left out, since they exist only in this one."""
    if isinstance(models, str):
        return _portable_name(models)
    if isinstance(models, Mapping):
        return {role: _portable_name(name) for role, name in models.items() if isinstance(name, str)}
    return None


def _portable_name(model: str) -> str:
    """A model's name that is valid in every folder; a thread may be resumed from another one."""
    if not model.startswith(REPLAY_PREFIX):
        return model
    return f"{REPLAY_PREFIX}{Path(model.removeprefix(REPLAY_PREFIX)).expanduser().absolute()}"
