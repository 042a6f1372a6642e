"""Chaos: what is left after a kill, a stop, a cut or a wrong clock, and that a resume makes it whole."""
