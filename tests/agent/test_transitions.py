"""Transitions: the table of the agent's edges against its graph, its types and what its nodes can decide."""

from __future__ import annotations

from typing import cast, get_args

import pytest
from langgraph.graph import END, START

from openmanus_graph import Settings, build_manus_graph
from openmanus_graph.agent_nodes import COORDINATOR, KNOWLEDGE, PLANNER, REMEMBER, REVIEW, ROLES
from openmanus_graph.errors import UsageError
from openmanus_graph.nodes.transitions import FIRST_DECISION, INPUT, STAGES, TRANSITIONS, next_node
from openmanus_graph.state import Decision, ManusState, Stage


def test_the_graph_has_the_edges_of_the_table() -> None:
    graph = build_manus_graph("openai/none", ["bash"], agents={}, settings=Settings.model_construct())

    drawn = {(edge.source, edge.target) for edge in graph.compile().get_graph().edges}
    assert drawn == {(edge.node, edge.to) for edge in TRANSITIONS}


def test_every_node_is_reached_and_left() -> None:
    nodes = {role.name for role in ROLES if role.runs_in == "agent"}

    assert {edge.node for edge in TRANSITIONS} == nodes | {START}
    assert {edge.to for edge in TRANSITIONS} == nodes | {END}


def test_every_stage_is_in_the_table_once_and_set_by_a_node_before_the_coordinator() -> None:
    before = {edge.node for edge in TRANSITIONS if edge.to == COORDINATOR}

    assert sorted(row.stage for row in STAGES) == sorted(get_args(Stage))
    assert {node for row in STAGES for node in row.set_by} == {INPUT, *before}


def test_what_the_coordinator_may_decide_leads_somewhere() -> None:
    allowed = {decision for row in STAGES for decision in row.decisions}

    assert allowed == set(get_args(Decision)) - {FIRST_DECISION}
    assert allowed == {edge.decision for edge in TRANSITIONS if edge.node == COORDINATOR}


@pytest.mark.parametrize(
    ("node", "state", "following"),
    [
        (START, {}, KNOWLEDGE),
        (KNOWLEDGE, {"decision": "recall"}, COORDINATOR),
        (KNOWLEDGE, {"decision": "replan"}, PLANNER),
        (COORDINATOR, {"decision": "conclude"}, REMEMBER),
        (COORDINATOR, {"decision": "look"}, COORDINATOR),
        (PLANNER, {"decision": "propose", "problems": ["no goal"]}, COORDINATOR),
        (PLANNER, {"decision": "stop", "problems": ["none"]}, "reporter"),
        (PLANNER, {"decision": "plan", "problems": ["no goal"]}, PLANNER),
        (PLANNER, {"decision": "dispatch", "problems": []}, REVIEW),
        (REVIEW, {"decision": "replan"}, PLANNER),
        (REVIEW, {"decision": "propose"}, COORDINATOR),
        (REVIEW, {"decision": "dispatch"}, "dispatcher"),
    ],
)
def test_the_first_row_that_applies_is_taken(node: str, state: ManusState, following: str) -> None:
    assert next_node(node, state) == following


def test_a_decision_that_no_row_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="'coordinator' cannot be left with the decision 'rest'") as refused:
        next_node(COORDINATOR, cast("ManusState", {"decision": "rest"}))

    assert "'dispatch'" in str(refused.value.hint)
