"""Tests of other promises, run once more with a key: what they say holds for encrypted threads, too."""

from __future__ import annotations

import pytest

from openmanus_graph import ThreadSaver
from tests.agent.conftest import build, provider
from tests.conformance.test_saver import test_langgraphs_conformance_suite_passes
from tests.ledger.test_intents import (
    test_a_call_that_ran_out_of_time_and_happened_is_not_made_again,
    test_a_recorded_result_is_given_whole_even_where_it_is_large,
)
from tests.retention.test_moving import (
    elsewhere,
    test_a_damaged_file_is_refused_whole,
    test_a_plan_goes_on_in_another_database,
    test_an_input_that_no_checkpoint_has_moves_too,
    test_an_input_that_was_never_taken_finds_its_folder,
    test_the_agent_goes_on_under_another_id,
)
from tests.retention.test_prune import (
    test_a_fork_after_an_edited_plan_makes_no_call_again,
    test_growing_lists_of_any_reducer,
    test_removed_runs_leave_the_lists_of_later_ones,
)
from tests.storage.test_values import (
    test_a_field_has_its_value_after_a_question,
    test_metadata_questions_and_errors_hold_what_json_does_not,
    test_text_of_a_message_is_text,
)
from tests.travel.test_every_point import test_with_parallel_branches_and_a_question
from tests.travel.test_workspaces import (
    app,
    test_a_difference_shows_the_lines,
    test_a_fork_gets_the_files_of_its_point,
    test_contents_go_with_the_last_thread_that_has_them,
)
from tests.usergraphs.test_store import (
    test_no_thread_takes_items_with_it,
    test_tools_of_plans_and_of_tool_nodes_have_it,
)

pytestmark = pytest.mark.postgres

__all__ = [
    "app",
    "build",
    "elsewhere",
    "provider",
    "test_a_call_that_ran_out_of_time_and_happened_is_not_made_again",
    "test_a_damaged_file_is_refused_whole",
    "test_a_difference_shows_the_lines",
    "test_a_field_has_its_value_after_a_question",
    "test_a_fork_after_an_edited_plan_makes_no_call_again",
    "test_a_fork_gets_the_files_of_its_point",
    "test_a_plan_goes_on_in_another_database",
    "test_a_recorded_result_is_given_whole_even_where_it_is_large",
    "test_an_input_that_no_checkpoint_has_moves_too",
    "test_an_input_that_was_never_taken_finds_its_folder",
    "test_contents_go_with_the_last_thread_that_has_them",
    "test_growing_lists_of_any_reducer",
    "test_langgraphs_conformance_suite_passes",
    "test_metadata_questions_and_errors_hold_what_json_does_not",
    "test_no_thread_takes_items_with_it",
    "test_removed_runs_leave_the_lists_of_later_ones",
    "test_text_of_a_message_is_text",
    "test_the_agent_goes_on_under_another_id",
    "test_tools_of_plans_and_of_tool_nodes_have_it",
    "test_with_parallel_branches_and_a_question",
]


@pytest.fixture(autouse=True)
def with_a_key(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """Encrypt in every store that a test opens."""
    monkeypatch.setenv("OPENMANUS_GRAPH_ENCRYPTION_KEY", key)


def test_these_stores_do_encrypt(saver: ThreadSaver) -> None:
    assert saver.cipher is not None
