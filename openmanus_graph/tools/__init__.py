"""Tools: one tool per file, found by name in the registry."""
