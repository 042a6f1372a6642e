"""Tools of MCP servers: which there are, their tools, connections and results."""
