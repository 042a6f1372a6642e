"""Graphs: the compiled graphs of the engine."""
