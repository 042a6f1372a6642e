"""Semantic memory: passages in Postgres, found by their words and, through a vector index, by their meaning."""
