"""Paging."""

PARAMETERS = frozenset({"page"})
