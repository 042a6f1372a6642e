"""Encryption: what threads store, unreadable to whoever has the database without the key."""
