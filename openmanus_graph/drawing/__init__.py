"""Drawing: graphs and plans as Mermaid and text, offline."""
