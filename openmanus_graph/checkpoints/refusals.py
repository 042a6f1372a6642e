"""Refusals: what Postgres refuses or cannot do, in the project's own errors."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

import psycopg

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.lease import stale_runner
from openmanus_graph.errors import DatabaseFullError, DatabaseUnreachableError, ForeignTypeError, ThreadBusyError


@contextmanager
def refused_writes(thread_id: str) -> Generator[None]:
    """Turn what Postgres refuses in a write of a thread into the project's own errors.

    Raises:
        StaleRunnerError: If another runner has taken the thread.
        ThreadBusyError: If the write has no runner and somebody runs the thread.
        ForeignTypeError: If Postgres does not take a name.
    """
    try:
        yield
    except (psycopg.DataError, UnicodeEncodeError) as error:  # all values have been looked at: it is a name
        raise ForeignTypeError(
            f"Postgres does not take the names in this write of the thread {thread_id!r}: {error}.",
            hint="Name nodes and fields without NUL and halves of surrogate pairs.",
        ) from error
    except psycopg.Error as error:
        if error.sqlstate == "OM001":
            raise stale_runner(thread_id) from error
        if error.sqlstate == "OM002":
            raise ThreadBusyError(
                f"The thread {thread_id!r} is being run, so its state cannot be edited now.",
                hint=f"See who runs it with: {shell_commands.show_thread(thread_id)}",
            ) from error
        raise


def end_if_cancelled(error: Exception) -> None:
    """Go on with the cancellation of a task that hears of its connection alone.

    A task can be cancelled in the moment in which its connection breaks. If it takes the error for one to go on after,
    nobody cancels it again, and the program waits for it at its end.

    Raises:
        CancelledError: If the task that runs is being cancelled.
    """
    current = asyncio.current_task()
    if current is not None and current.cancelling():
        raise asyncio.CancelledError from error


def unreachable(place: str, error: Exception) -> DatabaseUnreachableError:
    """The error for a server that does not answer: where it was looked for and which setting says so."""
    reason = str(error).strip().splitlines()
    return DatabaseUnreachableError(
        f"No Postgres answers at {place}: {reason[0] if reason else type(error).__name__}.",
        hint=f"Check with: {shell_commands.DOCTOR}",
    )


def database_full(place: str) -> DatabaseFullError:
    """The error for a server without space."""
    return DatabaseFullError(
        f"The disk of the Postgres at {place} is full; nothing committed is lost.",
        hint=f"Free some space, then resume the thread: {shell_commands.RESUME_LAST}",
    )
