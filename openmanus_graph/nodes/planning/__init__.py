"""Planning: a model's proposal of a plan, repaired where only one thing can be meant."""
