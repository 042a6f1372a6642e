"""Nodes of deep research: questions, search, pages, notes, gaps, claims and the report."""
