"""Pruning: older points removed, and how much each thread takes."""
