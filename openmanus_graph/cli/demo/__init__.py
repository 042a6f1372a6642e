"""Demo: the agent at work on a small site, with recorded replies in place of a model."""
