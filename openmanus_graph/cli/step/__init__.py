"""Stepper: a thread step by step at the terminal."""
