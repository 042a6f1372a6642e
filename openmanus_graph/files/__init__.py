"""Files: atomic writes, and paths that stay inside a folder."""
