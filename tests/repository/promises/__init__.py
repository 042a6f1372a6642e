"""Promises: what users and their databases hold this program to, taken from the code and from real runs.

What is promised is kept as JSON and text in `kept/`; `scripts/promises.py` writes it, `test_promises.py` compares.
"""
