"""The MCP server: runs, threads and graphs as tools of other programs."""
