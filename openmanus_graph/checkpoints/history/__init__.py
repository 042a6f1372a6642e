"""History: the points of a thread, their contents, and the differences between two."""
