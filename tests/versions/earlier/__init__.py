"""Databases of earlier versions, each filled by the released program, and what fills and opens them."""
