"""Browsing: the tasks of the benchmark of `browser_use`, the site that they are done on, and who does them."""
