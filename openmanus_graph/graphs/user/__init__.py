"""User graphs: graphs that people define themselves, with the engine's promises around them."""
