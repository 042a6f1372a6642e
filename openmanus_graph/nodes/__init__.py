"""Nodes: one role per file."""
