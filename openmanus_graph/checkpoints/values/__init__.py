"""Values: how those of states become bytes and come back, and which are refused."""
