"""Training: what threads have, as data to train models with, without secrets."""
