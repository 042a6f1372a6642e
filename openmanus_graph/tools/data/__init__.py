"""Data: files of the workspace as tables, and tables as charts."""
