"""Material: what the roles are told, and what goes with an answer, rendered as text."""
