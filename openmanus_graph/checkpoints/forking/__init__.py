"""Forking: a new thread that goes on from a point of another one, with edits."""
