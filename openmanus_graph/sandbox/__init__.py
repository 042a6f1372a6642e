"""Sandbox: where shell and Python tools run."""
