"""Plans: what a plan file is read into, checked against and scheduled by; `openmanus_graph.plan` has the model."""
