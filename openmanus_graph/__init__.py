"""openmanus-graph."""
