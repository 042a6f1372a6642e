"""Pruning: removal of older points, and the size of each thread."""
