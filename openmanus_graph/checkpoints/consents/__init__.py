"""Consents: what people have allowed for longer than one call."""
