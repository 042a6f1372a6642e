"""Compat: LangGraph's own tests, of the installed version, run on our saver and through durable graphs."""
