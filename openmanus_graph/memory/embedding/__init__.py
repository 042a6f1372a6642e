"""Embedding: what turns texts into vectors, from feature hashing, which needs nothing, to models behind a server."""
