"""Plans: reading, validating and scheduling them; `openmanus_graph.plan` has the model."""
