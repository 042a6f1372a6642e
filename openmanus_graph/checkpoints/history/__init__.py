"""History: the points of a thread, what each holds, and what differs between two."""
