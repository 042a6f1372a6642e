"""Stores: the store of templates that the settings name."""

from __future__ import annotations

from functools import lru_cache
from typing import overload

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.settings import Settings
from openmanus_graph.memory.procedural.neo4j_templates import Neo4jTemplates
from openmanus_graph.memory.procedural.outbox_templates import OutboxTemplates
from openmanus_graph.memory.procedural.postgres_templates import PostgresTemplates
from openmanus_graph.memory.procedural.waiting_lessons import WaitingLessons
from openmanus_graph.memory.protocols import ForgetfulTemplates, TemplateMemory


@overload
def template_store(settings: Settings, saver: ThreadSaver, owner: str) -> TemplateMemory: ...
@overload
def template_store(settings: Settings, saver: ThreadSaver | None, owner: str) -> TemplateMemory | None: ...
def template_store(settings: Settings, saver: ThreadSaver | None, owner: str) -> TemplateMemory | None:
    """The templates of an owner: in Neo4j where `neo4j_uri` is set, with an outbox in Postgres, else in Postgres.

    Args:
        settings: The user's settings.
        saver: The checkpoint database; `None` where there is none.
        owner: Whose templates.

    Returns:
        The store; `None` if there is neither.

    Raises:
        SettingsError: If `neo4j_uri` is no address of a Neo4j server.
    """
    if settings.neo4j_uri is not None:
        password = "" if settings.neo4j_password is None else settings.neo4j_password.get_secret_value()
        neo4j = _in_neo4j(settings.neo4j_uri, owner, settings.neo4j_username, password)
        return neo4j if saver is None else OutboxTemplates(neo4j, WaitingLessons(saver, owner))
    return None if saver is None else PostgresTemplates(saver, owner)


def lessons_of(settings: Settings, saver: ThreadSaver | None, owner: str) -> WaitingLessons | None:
    """Where the lessons of an owner wait for Neo4j; `None` where `neo4j_uri` is not set, or nothing can wait."""
    return None if saver is None or settings.neo4j_uri is None else WaitingLessons(saver, owner)


def template_stores(settings: Settings, saver: ThreadSaver, owner: str) -> list[ForgetfulTemplates]:
    """All stores that may have templates of an owner: the one in use, and where some may be from before.

    Raises:
        SettingsError: If `neo4j_uri` is no address of a Neo4j server.
    """
    in_postgres = PostgresTemplates(saver, owner)
    if settings.neo4j_uri is None:
        return [in_postgres, WaitingLessons(saver, owner)]
    return [template_store(settings, saver, owner), in_postgres]


@lru_cache(maxsize=16)
def _in_neo4j(uri: str, owner: str, user: str, password: str) -> Neo4jTemplates:
    """A store, the same for a process, so that the indexes are looked for once."""
    return Neo4jTemplates(uri, owner, user=user, password=password)
