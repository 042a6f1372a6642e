"""Passage memory: one owner's semantic memory: passages in Postgres, found by their words and by a vector index.

What the index says are keys. Each is looked up among the passages before anybody sees it: what was forgotten, or is
somebody else's, is not shown, however late or wrong the index is. While it is away, words alone find passages.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from time import monotonic

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import DatabaseError, VectorIndexError
from openmanus_graph.memory.deliverer import Delivery
from openmanus_graph.memory.embedding.choice import NEAR, near_of, open_embedder
from openmanus_graph.memory.embedding.vectors import vectors_of
from openmanus_graph.memory.protocols import Embedder
from openmanus_graph.memory.semantic.choice import open_index
from openmanus_graph.memory.semantic.full_text import MOST_CHARACTERS, search_text
from openmanus_graph.memory.semantic.fusion import WEIGHT, fuse
from openmanus_graph.memory.semantic.outbox import Outbox, Progress
from openmanus_graph.memory.semantic.passage import Hit, Passage, StoredPassage
from openmanus_graph.memory.semantic.passages import Added, Passages, Selection
from openmanus_graph.memory.semantic.vector_index import VectorIndex, failure_of
from openmanus_graph.redaction import redact_log
from openmanus_graph.values.storable_json import storable_text

logger = logging.getLogger(__name__)

CANDIDATES = 50
"""Passages that each way of searching gives to the common ranking."""
LEAST_COVERAGE = 0.6
"""Share of a task's words, weighed by how rare they are, from which a passage is told to a role unasked.

At 0.6 a passage has most of what the task is about; a task of another matter shares its common words only. The tests
calibrate it with tasks that a corpus answers and with tasks that it does not.
"""
TOLD_CHARACTERS = 1_200
"""Characters of a passage that a role is told."""


@dataclass(frozen=True)
class Found:
    """What a search has found."""

    hits: list[Hit]
    """The passages, best first."""
    warning: str | None = None
    """Why only words were searched for; `None` if the vector index answered, or none is wanted."""


@dataclass(frozen=True)
class MemoryStatus:
    """What there is in a memory, and what it is searched with."""

    owner: str
    """Whose it is."""
    passages: int
    """How many passages."""
    sources: int
    """From how many files and pages."""
    index: str | None
    """The vector index in words; `None` if there is none."""
    embedder: str | None
    """What makes its vectors."""
    waiting: int
    """Passages that the index does not have yet, or still has."""
    error: str | None
    """Why the index cannot be used, or the last delivery failed; `None` if all is well."""
    advice: str | None
    """What would serve better; `None` if nothing would."""


LONGEST_S = 10.0
"""How long a search waits for nearest neighbours, the opening of the index included, before it does without."""
BACKGROUND_S = 300.0
"""How long passages are delivered in the background of a request, before the next one goes on with it."""
PAUSE_S = 30.0
"""How long an index that failed is not asked: one that hangs must not hold up every search."""
MANY_PASSAGES = 20_000
"""Passages from which a folder of Chroma's costs other processes a third of a second after each write."""


class PassageMemory:
    """One owner's semantic memory; a `SemanticMemory`."""

    def __init__(self, saver: ThreadSaver, settings: Settings, owner: str | None = None) -> None:
        """Use a store; embedder and index are opened when they are first needed.

        Args:
            saver: The store of the passages.
            settings: The user's settings, which choose the embedder and the index.
            owner: Whose memory; `None` means the setting.
        """
        self.passages = Passages(saver, owner or settings.owner)
        """The passages themselves."""
        self._saver = saver
        self._settings = settings
        self._opening = asyncio.Lock()
        self._embedder: Embedder | None = None
        self._opened: tuple[Embedder, VectorIndex, Outbox] | None = None
        self._most_weight, self._least_nearness = WEIGHT, NEAR  # as the embedder says, once it is there
        self._without = settings.vector_index == "none"  # whether there is no index to ask
        self._warning: str | None = None
        self._delivering: asyncio.Task[None] | None = None
        self._again_at = 0.0  # of the monotonic clock: before it an index that failed is not asked

    async def aclose(self) -> None:
        """Let go of the index; a delivery in the background ends before."""
        await self._stop_delivering()
        opened, self._opened = self._opened, None
        if opened is not None:
            try:
                await opened[1].aclose()
            except Exception as error:  # noqa: BLE001 - what has been stored and found is as it is
                self._warn(error)

    async def add(self, passages: Iterable[Passage], *, replace_sources: Collection[str] = ()) -> Added:
        """Store passages; they are found by their words at once, and by meaning when they are delivered.

        Args:
            passages: The passages.
            replace_sources: Sources that these are all of: what they have besides goes.

        Returns:
            How many were new, how many went, and what became of those that a person had edited.
        """
        await self._open()  # first, so that the index is asked for them
        return await self.passages.add(passages, replace_sources=replace_sources)

    async def edit(self, passage: StoredPassage, text: str) -> StoredPassage:
        """Change the text of a passage, and ask the index to follow; the passage as it is now.

        Raises:
            UsageError: If the text is empty or too long, or the passage is another by now.
        """
        await self._open()
        return await self.passages.edit(passage, text)

    async def forget(self, chosen: Selection) -> int:
        """Remove passages, and ask the index to; how many went."""
        await self._open()
        return await self.passages.forget(chosen)

    async def deliver(self, *, seconds: float | None = None, progress: Progress | None = None) -> Delivery:
        """Bring the index up to what the passages are.

        Args:
            seconds: After how long no more is begun; `None` means when all is delivered.
            progress: Told after each batch.
        """
        await self._stop_delivering()
        return await self._deliver(seconds, progress)

    async def _deliver(self, seconds: float | None, progress: Progress | None = None) -> Delivery:
        opened = await self._open()
        if opened is None:
            return Delivery(0, 0, self._warning)
        try:
            await opened[2].sweep_if_due()
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001 - an index may raise anything
            return Delivery(0, await opened[2].waiting(), self._warn(error))
        done = await opened[2].deliver(seconds=seconds, progress=progress)
        if done.delivered and done.error is None:
            self._again_at = 0.0  # it is there again
        return done

    async def search(self, query: str, *, limit: int = 10) -> Found:
        """Passages for a query, best first.

        Args:
            query: Any text.
            limit: How many at most.

        Raises:
            DatabaseError: If the store of the passages does not answer.
        """
        if limit <= 0 or not query.strip():
            return Found([])
        wanted = max(CANDIDATES, limit)
        texts, near = await asyncio.gather(
            search_text(self._saver, self.passages.owner, query, wanted), self._near(query, wanted)
        )
        ranked = fuse(texts, near, self._most_weight)
        coverage = {hit.key: hit.coverage for hit in texts}
        there = await self.passages.lookup([key for key, _ in ranked])
        hits = [Hit(there[key], score, coverage.get(key, 0.0), near.get(key)) for key, score in ranked if key in there]
        return Found(hits[:limit], self._warning)

    async def recall(self, query: str, *, limit: int = 5) -> list[str]:
        """Passages that are worth telling for a task, each with its source; none rather than one of another matter.

        What waits for the index is delivered meanwhile in the background, until it is done or the memory is closed.
        """
        return [_told(hit) for hit in await self.worth_telling(query, limit=limit)]

    async def worth_telling(self, query: str, *, limit: int, least: float = LEAST_COVERAGE) -> list[Hit]:
        """As `recall`, with where each is from.

        Args:
            query: Any text.
            limit: How many at most.
            least: The share of the query's words that one has at least, unless it is near.
        """
        if not await self.passages.any():
            return []
        found = await self.search(query, limit=4 * limit)
        if self._opened is not None and self._warning is None:
            self._deliver_in_background()
        return [hit for hit in found.hits if hit.coverage >= least or self._is_near(hit)][:limit]

    def _is_near(self, hit: Hit) -> bool:
        return hit.nearness is not None and hit.nearness >= self._least_nearness

    def _deliver_in_background(self) -> None:
        if self._delivering is None or self._delivering.done():
            self._delivering = asyncio.create_task(self._deliver_quietly(), name="delivery of passages")

    async def _deliver_quietly(self) -> None:
        """Deliver, whatever comes of it: what is not delivered stays in the outbox."""
        try:
            await self._deliver(BACKGROUND_S)
        except Exception as error:  # noqa: BLE001 - a run goes on without
            logger.info("Passages are not delivered to the index.", extra={"error": redact_log(str(error))})

    async def _stop_delivering(self) -> None:
        task, self._delivering = self._delivering, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    async def status(self) -> MemoryStatus:
        """What there is, and what it is searched with."""
        passages, sources = await self.passages.counts()
        opened = await self._open()
        if opened is None:
            return MemoryStatus(self.passages.owner, passages, sources, None, None, 0, self._warning, None)
        chosen, index, outbox = opened
        error = self._warning or await outbox.last_error()
        place, waiting = index.place, await outbox.waiting()
        advice = None
        if passages >= MANY_PASSAGES and place.startswith("Chroma in"):
            advice = (
                f"From about {MANY_PASSAGES:,} passages a Chroma server (CHROMA_URL) or pgvector "
                "(OPENMANUS_GRAPH_VECTOR_INDEX=pgvector) serves better: a folder is read anew after each foreign write."
            )
        return MemoryStatus(self.passages.owner, passages, sources, place, chosen.name, waiting, error, advice)

    async def _near(self, query: str, limit: int) -> dict[str, float]:
        """Cosines of the nearest passages by key; none while the index is away."""
        if self._without or monotonic() < self._again_at:
            return {}
        try:
            async with asyncio.timeout(LONGEST_S):
                return await self._nearest(storable_text(query[:MOST_CHARACTERS]), limit)
        except DatabaseError:
            raise
        except TimeoutError:
            self._warn(VectorIndexError(f"The index of vectors did not answer within {LONGEST_S:g} s."))
        except Exception as error:  # noqa: BLE001 - an embedder or an index may raise anything
            self._warn(error)
        return {}

    async def _nearest(self, query: str, limit: int) -> dict[str, float]:
        if self._embedder is None:
            self._embedder = open_embedder(self._settings)
        # A model that was never asked says by this how long its vectors are, and the index needs to know.
        known = self._embedder.dimensions > 0
        vectors = [] if known else await vectors_of(self._embedder, [query])
        opened = await self._open()
        if opened is None:
            return {}
        chosen, index, _ = opened
        vectors = vectors or await vectors_of(chosen, [query])
        index.space.check(vectors)
        found = await index.query(self.passages.owner, vectors[0], limit)
        self._warning = None
        return {key: cosine for key, cosine in found if math.isfinite(cosine)}

    async def _open(self) -> tuple[Embedder, VectorIndex, Outbox] | None:
        """Embedder, index and outbox; `None` if no index is wanted, or it cannot be used."""
        async with self._opening:
            if self._opened is None and not self._without and monotonic() >= self._again_at:
                try:
                    self._opened = await self._made()
                    self._without = self._opened is None
                    self._warning = None
                except DatabaseError:
                    raise
                except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
                    self._warn(error)
            return self._opened

    async def _made(self) -> tuple[Embedder, VectorIndex, Outbox] | None:
        if self._embedder is None:
            self._embedder = open_embedder(self._settings)
        if self._embedder.dimensions <= 0:
            await vectors_of(self._embedder, ["length"])
        self._most_weight = float(getattr(self._embedder, "most_weight", WEIGHT))
        self._least_nearness = near_of(self._embedder)
        index = await open_index(self._saver, self._settings, self._embedder)
        if index is None:
            return None
        try:
            outbox = Outbox(self._saver, index, self._embedder)
            await outbox.register()
        except BaseException:
            await index.aclose()
            raise
        return self._embedder, index, outbox

    def _warn(self, error: Exception) -> str:
        """Say once that only words are searched for; the reason."""
        why = redact_log(failure_of(error).message)
        if self._warning is None:
            logger.warning("Passages are found by their words alone.", extra={"error": why})
        self._warning = why
        self._again_at = monotonic() + PAUSE_S
        return why


def _told(hit: Hit) -> str:
    passage = hit.passage
    text = passage.text if len(passage.text) <= TOLD_CHARACTERS else f"{passage.text[:TOLD_CHARACTERS]} …"
    nearness = "" if hit.nearness is None else f", nearness {hit.nearness:.2f}"
    by_hand = ", edited by hand" if passage.edited_at else ""
    return f"Source: {passage.source}{by_hand} (words {hit.coverage:.2f}{nearness})\n{text}"
