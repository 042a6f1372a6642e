"""Memory: episodes of past requests, and the protocols of stores and embedders."""
