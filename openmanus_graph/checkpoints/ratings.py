"""Ratings: what a person said of how requests of a thread really went, each the last word on its request."""

from __future__ import annotations

from dataclasses import dataclass

from openmanus_graph.checkpoints.encryption.cipher import refuse_sealed
from openmanus_graph.checkpoints.progress import state_values
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.thread_id import storable_thread
from openmanus_graph.fault_points import writing
from openmanus_graph.values.storable_json import storable_text


@dataclass(frozen=True)
class Rating:
    """What was said of one request."""

    request: int
    """Which request of the thread, from 1."""
    good: bool
    """Whether it went well."""
    why: str
    """Why; empty if nothing was said."""

    @property
    def text(self) -> str:
        """The verdict with its reason."""
        verdict = "good" if self.good else "bad"
        return f"{verdict}: {self.why}" if self.why else verdict


async def last_request(saver: ThreadSaver, thread_id: str) -> int:
    """The number of a thread's newest request; 1 in a thread of a plan or of a graph of one's own.

    Args:
        saver: The store.
        thread_id: The thread.
    """
    values = await state_values(saver, thread_id)
    number = values.get("request")
    # A graph of one's own may call something else so; only the agent has both.
    return number if "stage" in values and type(number) is int and 0 < number < 2**31 else 1


async def rate_request(saver: ThreadSaver, thread_id: str, request: int, *, good: bool, why: str = "") -> None:
    """Store a rating; another one of the same request replaces it.

    Args:
        saver: The store.
        thread_id: The thread, which exists.
        request: Which of its requests.
        good: Whether it went well.
        why: Why.
    """
    why = storable_text(why)
    if saver.cipher is not None:
        why = saver.cipher.text(why)
    with writing("rating"):
        async with saver.connection() as connection:
            await connection.execute(
                "INSERT INTO ratings (thread_id, request, good, why) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (thread_id, request) DO UPDATE SET"
                " good = EXCLUDED.good, why = EXCLUDED.why, created_at = EXCLUDED.created_at",
                (storable_thread(thread_id), request, good, why),
            )


async def ratings_of(saver: ThreadSaver, thread_id: str) -> list[Rating]:
    """The ratings of a thread, the earliest request first.

    Args:
        saver: The store.
        thread_id: The thread.

    Raises:
        EncryptionKeyError: If one has a reason that is encrypted with a key that is not set.
    """
    async with saver.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT request, good, why FROM ratings WHERE thread_id = %s ORDER BY request", (thread_id,)
            )
        ).fetchall()
    if saver.cipher is None:
        refuse_sealed(row["why"] for row in rows)
    return [Rating(int(row["request"]), bool(row["good"]), str(row["why"])) for row in rows]
