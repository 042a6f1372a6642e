"""Thread commands: what `openmanus-graph threads` and its commands do."""
