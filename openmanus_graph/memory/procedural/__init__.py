"""Procedural memory: templates of plans, learned from runs, found by their tasks, filled by rules."""
