"""Workspace: file changes recorded per step, and folders restored from them."""
