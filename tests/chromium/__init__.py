"""The browser that the tool `browser_use` works in, and the proxy that is its only way out."""
