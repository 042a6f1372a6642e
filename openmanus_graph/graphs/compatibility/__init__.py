"""Compatibility: whether a thread can go on with a graph that has changed since."""
