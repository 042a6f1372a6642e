"""Benchmarks: what the engine costs, measured; `python -m benchmarks --help` says how."""
