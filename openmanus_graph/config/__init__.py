"""Configuration: settings with the place each came from, and the sections of the TOML file."""
