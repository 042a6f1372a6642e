"""Web: fetching, reading and searching, behind the network guard."""
