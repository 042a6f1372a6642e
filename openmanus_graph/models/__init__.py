"""Models: chat models by role, through LiteLLM."""
