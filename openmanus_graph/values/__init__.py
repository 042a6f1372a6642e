"""Values: forms in which they go everywhere."""
