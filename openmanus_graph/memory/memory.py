"""Memory: the stores that a graph remembers with, of which the episodic and the semantic one are always there."""

from __future__ import annotations

from dataclasses import dataclass, field

from openmanus_graph.memory.episodic import LocalEpisodes, PostgresEpisodes
from openmanus_graph.memory.plugins import episodic_store
from openmanus_graph.memory.procedural.stores import template_store
from openmanus_graph.memory.protocols import EpisodicMemory, ProceduralMemory, SemanticMemory
from openmanus_graph.memory.semantic.passage_memory import PassageMemory
from openmanus_graph.scope import Scope


@dataclass
class Memory:
    """The stores that the knowledge and remember nodes use."""

    episodic: EpisodicMemory | None = None
    """Past requests; `None` means the store that the setting `memory_store` names, else the Postgres of the
    checkpoints, or this process where there is none."""
    semantic: SemanticMemory | None = None
    """Passages by meaning; `None` means those of the run's owner in the Postgres of the checkpoints."""
    procedural: ProceduralMemory | None = None
    """How kinds of tasks are done; `None` means templates in the Neo4j that the settings name, else in the Postgres of
    the checkpoints, else that nothing is known."""
    _local: LocalEpisodes = field(default_factory=LocalEpisodes, repr=False)
    _passages: dict[tuple[int, str], PassageMemory] = field(
        default_factory=dict[tuple[int, str], PassageMemory], repr=False
    )

    def episodes(self, scope: Scope) -> EpisodicMemory:
        """The episodic memory of a run.

        Raises:
            SettingsError: If the settings name a store that is not installed.
        """
        if self.episodic is None and scope.settings.memory_store is not None:
            self.episodic = episodic_store(scope.settings.memory_store)
        if self.episodic is not None:
            return self.episodic
        return self._local if scope.saver is None else PostgresEpisodes(scope.saver, scope.owner)

    def passages(self, scope: Scope) -> SemanticMemory | None:
        """The semantic memory of a run; `None` where there is no store for one."""
        if self.semantic is not None or scope.saver is None:
            return self.semantic
        key = id(scope.saver.pool), scope.owner
        if key not in self._passages:
            made = self._passages[key] = PassageMemory(scope.saver, scope.settings, scope.owner)
            scope.saver.closing.push_async_callback(self._close, key, made)
        return self._passages[key]

    async def _close(self, key: tuple[int, str], made: PassageMemory) -> None:
        """Let go of a memory with the store that it is in."""
        self._passages.pop(key, None)
        await made.aclose()

    def procedures(self, scope: Scope) -> ProceduralMemory | None:
        """The procedural memory of a run; `None` if there is none.

        Raises:
            SettingsError: If the settings name a Neo4j by what is no address.
        """
        if self.procedural is not None:
            return self.procedural
        return template_store(scope.settings, scope.saver, scope.owner)
