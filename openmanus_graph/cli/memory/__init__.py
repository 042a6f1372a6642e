"""Memory commands: the bodies of `memory add` and the others."""
