"""Stepping: a debugger on the durable run, as plain Python; a notebook and a terminal only show it."""
