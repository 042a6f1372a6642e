"""Namespaces: what is written is what is parsed, also inside other graphs and for ids that look like names of ours."""

from hypothesis import given
from hypothesis import strategies as st

from openmanus_graph.namespaces import (
    SubtaskTask,
    dispatched,
    home_of,
    innermost_subtask,
    levels_of,
    plain_namespace,
    subtask_at,
    task_ids_in,
    task_of,
)

TASK = "0b0ac1c8-4bd2-7d52-8a14-6a4a8a0c1ab1"
tasks = st.builds(
    SubtaskTask,
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    st.from_regex(r"[0-9a-f]{12}", fullmatch=True),
    st.integers(1, 9999),
)


@given(tasks)
def test_a_tasks_name_and_namespace_are_read_back(task: SubtaskTask) -> None:
    assert task_of(task.name) == task
    assert subtask_at(task.namespace) == innermost_subtask(task.namespace) == dispatched(task.namespace) == task
    assert home_of(task.namespace) == task.namespace
    assert task.name == f"subtask {task.subtask} {task.definition} r{task.round}"


@given(tasks, tasks)
def test_a_dispatch_inside_a_subtask_is_told_from_the_one_around_it(outer: SubtaskTask, inner: SubtaskTask) -> None:
    inside = f"{outer.namespace}|research:{TASK}"
    both = f"{inside}|{inner.namespace}"
    assert innermost_subtask(inside) == outer
    assert subtask_at(inside) is None
    assert subtask_at(both) == innermost_subtask(both) == inner
    assert dispatched(both) == outer
    assert dispatched(both, inside) == inner
    assert home_of(both) == outer.namespace


def test_what_is_no_subtask_is_none() -> None:
    for namespace in (
        "",
        "dispatcher",
        f"agent:{TASK}",
        "dispatcher|subtask",
        "other|subtask a b r1",
        "subtask a b r1",
    ):
        assert innermost_subtask(namespace) is None
        assert home_of(namespace) == ""
    assert task_of("subtask a b") is None
    assert task_of("subtasks a b r1") is None


def test_levels_leave_the_ids_of_tasks_out() -> None:
    namespace = f"agent:{TASK}|dispatcher|subtask a 0123 r2|tool:{TASK}"
    assert levels_of(namespace) == ("agent", "dispatcher", "subtask a 0123 r2", "tool")
    assert levels_of("") == ()
    assert plain_namespace(namespace) == "agent|dispatcher|subtask a 0123 r2|tool"
    assert task_ids_in(namespace) == [TASK, TASK]
