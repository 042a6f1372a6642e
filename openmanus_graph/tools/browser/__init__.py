"""Browser: a confined Chromium whose only way out is the proxy, and what the tool `browser_use` does in it."""
