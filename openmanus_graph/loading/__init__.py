"""Loading: users' modules, the graphs and tools in them, and plug-ins of installed packages."""
