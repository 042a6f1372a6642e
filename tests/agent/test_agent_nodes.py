"""Agent nodes: the table of roles against the graphs, the state, the prompts and the models that it speaks of."""

from __future__ import annotations

from importlib import resources

from openmanus_graph import Settings, build_manus_graph
from openmanus_graph.agent_nodes import ACTING, CONTENT_SHOWN, NAME_SHOWN, NOT_SHOWN, PROMPTS, ROLES
from openmanus_graph.call_site import ROLES as MODEL_ROLES
from openmanus_graph.graphs.subtask import RESERVED_NAMES, build_subtask_graph
from openmanus_graph.state import ManusState, SubtaskState


def names(runs_in: str) -> set[str]:
    return {role.name for role in ROLES if role.runs_in == runs_in}


def test_every_node_of_the_graphs_is_a_role() -> None:
    graph = build_manus_graph("openai/none", ["bash"], agents={}, settings=Settings.model_construct())
    subtask = build_subtask_graph(graph.tools, None, graph.roles)

    assert set(graph.nodes) == names("agent")
    assert set(subtask.nodes) - {"__start__", "approval", "backoff", "bash"} == names("subtask")
    assert names("subtask") <= RESERVED_NAMES


def test_every_role_with_a_model_has_words_for_views() -> None:
    assert set(ACTING) == set(MODEL_ROLES)


def test_every_prompt_belongs_to_a_role() -> None:
    files = resources.files("openmanus_graph.nodes").joinpath("prompts").iterdir()

    assert {f"{prompt}.md" for prompt in PROMPTS} == {file.name for file in files}


def test_a_history_knows_every_field_of_the_state_once() -> None:
    told = [*CONTENT_SHOWN, *NAME_SHOWN, *NOT_SHOWN]

    assert len(told) == len(set(told))
    assert set(told) == ManusState.__annotations__.keys() | SubtaskState.__annotations__.keys()
