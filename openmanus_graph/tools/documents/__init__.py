"""Documents: what tools see of files that other programs made."""
