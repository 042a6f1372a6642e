"""Memory: what past work teaches the next."""
