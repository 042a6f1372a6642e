"""`python -m openmanus_graph` is the command line."""

from openmanus_graph.cli import main

main()
