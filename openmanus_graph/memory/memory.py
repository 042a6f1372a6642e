"""Memory: the stores that a graph remembers with, of which the episodic one is always there."""

from __future__ import annotations

from dataclasses import dataclass, field

from openmanus_graph.memory.episodic import LocalEpisodes, PostgresEpisodes
from openmanus_graph.memory.plugins import episodic_store
from openmanus_graph.memory.protocols import EpisodicMemory, ProceduralMemory, SemanticMemory
from openmanus_graph.scope import Scope


@dataclass
class Memory:
    """The stores that the knowledge and remember nodes use."""

    episodic: EpisodicMemory | None = None
    """Past requests; `None` means the store that the setting `memory_store` names, else the Postgres of the
    checkpoints, or this process where there is none."""
    semantic: SemanticMemory | None = None
    """Passages by meaning; `None` means that there are none."""
    procedural: ProceduralMemory | None = None
    """How kinds of tasks are done; `None` means that nothing is known."""
    _local: LocalEpisodes = field(default_factory=LocalEpisodes, repr=False)

    def episodes(self, scope: Scope) -> EpisodicMemory:
        """The episodic memory of a run.

        Raises:
            SettingsError: If the settings name a store that is not installed.
        """
        if self.episodic is None and scope.settings.memory_store is not None:
            self.episodic = episodic_store(scope.settings.memory_store)
        if self.episodic is not None:
            return self.episodic
        return self._local if scope.saver is None else PostgresEpisodes(scope.saver)
