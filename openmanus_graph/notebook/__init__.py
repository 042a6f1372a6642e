"""Notebook: the extension `%load_ext openmanus_graph` of IPython and Jupyter.

Nothing of LangGraph, of the database or of the widget is imported before a cell needs it.
"""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell

from openmanus_graph.notebook.cell import add_cell, drop_cell
from openmanus_graph.notebook.display import add_display, drop_display
from openmanus_graph.notebook.pictures import add_pictures, drop_pictures


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Draw graphs, plans and threads that cells show, offline, and have `%%graph_step`: `%load_ext openmanus_graph`.

    Args:
        ipython: The shell that loads it.
    """
    unload_ipython_extension(ipython)
    add_pictures(ipython)
    add_display(ipython)
    add_cell(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Leave pictures to LangGraph again, and close what cells have opened: `%unload_ext openmanus_graph`.

    Args:
        ipython: The shell that has loaded it.
    """
    drop_pictures(ipython)
    drop_display(ipython)
    drop_cell(ipython)
