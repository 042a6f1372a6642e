"""Scaffold: the project that `openmanus-graph new DIR` writes."""
