"""Reuse: what was read outside once and is used again for a while, of an owner's calls and of a thread's searches."""
