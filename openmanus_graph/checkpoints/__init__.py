"""Checkpoints: everything a thread keeps in Postgres."""
