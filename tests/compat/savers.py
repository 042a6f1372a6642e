"""Savers: what LangGraph's suite is run on, and how a run of it is told."""

from __future__ import annotations

from enum import StrEnum

SAVER_VARIABLE = "COMPAT_SAVER"
"""Environment variable that names the `Saver` of a run."""

SERVER_VARIABLE = "COMPAT_SERVER"
"""Environment variable with the URL of the Postgres server of a run; a database's name may be appended."""

REPORT_VARIABLE = "COMPAT_REPORT"
"""Environment variable with the path that a run writes its outcomes to, as JSON."""

TEMPLATE = "compat_template"
"""The database on that server that has our tables, to be cloned for each test."""


class Saver(StrEnum):
    """What the suite is run on."""

    MEMORY = "memory"
    """LangGraph's saver in memory, as the suite has it."""

    POSTGRES = "postgres"
    """LangGraph's own Postgres savers, as the suite has them."""

    OURS = "ours"
    """`ThreadSaver`, given to LangGraph's graphs."""

    DURABLE = "durable"
    """`ThreadSaver`, with every graph that is compiled with it made durable."""
