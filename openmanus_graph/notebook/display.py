"""Display: shows a stepper in a cell: the live widget in a page, lines of text at a terminal."""

# IPython declares no types for what is used here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

if TYPE_CHECKING:
    from openmanus_graph.notebook.widget import StepperWidget
    from openmanus_graph.stepping.stepper import Stepper

SHOWN = ("openmanus_graph.stepping.stepper", "Stepper")
"""The module and the class whose objects are shown so; by name, so that the extension imports nothing for it."""
WITHOUT = 'For buttons and live pictures: pip install "openmanus-graph[notebook]", restart the kernel, run this again.'

_views: list[ShownWidget] = []
"""The widgets that pages may show; IPython's own list of what cells gave would keep them, too."""


@dataclass
class ShownWidget:
    """A widget, and the cells that show it."""

    widget: StepperWidget
    """It."""
    cells: dict[str, str]
    """By the id of the cell the id of the request that ran it."""


def show(stepper: Stepper) -> None:
    """Show a stepper in the cell that runs, with a picture that the saved notebook keeps.

    Args:
        stepper: It; shown a second time, both views are of one widget.
    """
    if not hasattr(get_ipython(), "kernel"):
        from openmanus_graph.notebook.screen import Screen

        print(Screen(stepper).text())
        return
    try:
        from openmanus_graph.notebook.widget import StepperWidget
    except ModuleNotFoundError as error:
        if error.name not in ("anywidget", "ipywidgets"):
            raise
        display(_still(stepper), raw=True)
        print(WITHOUT)
        return
    cell, request = _running_cell()
    replaced = _replaced(cell, request, stepper)
    view = next((view for view in _views if view.widget.stepper is stepper), None)
    if view is None:
        view = ShownWidget(StepperWidget(stepper), {})
        _views.append(view)
    view.cells[cell] = request
    widget = view.widget
    widget.take_over([*replaced, *(other.widget.stepper for other in _views if other is not view)])
    display(widget)
    widget.keep(display(widget.still(), raw=True, display_id=True))


def _running_cell() -> tuple[str, str]:
    """Ids of the running cell and of the request that runs it; a cell without an id is like no other."""
    parent = cast("Any", get_ipython()).get_parent()
    request = str(parent.get("header", {}).get("msg_id", ""))
    return str(parent.get("metadata", {}).get("cellId") or request), request


def _replaced(cell: str, request: str, stepper: Stepper) -> list[Stepper]:
    """Close the widgets whose cell is run again; return their steppers."""
    replaced: list[Stepper] = []
    for view in list(_views):
        if view.cells.get(cell, request) == request:
            continue
        del view.cells[cell]
        if not view.cells and view.widget.stepper is not stepper:
            _views.remove(view)
            view.widget.close()
            replaced.append(view.widget.stepper)
    return replaced


def _still(stepper: Stepper) -> dict[str, str]:
    from openmanus_graph.notebook.pictures import SVG, TEXT
    from openmanus_graph.notebook.screen import Screen

    screen = Screen(stepper)
    return {SVG: screen.still(), TEXT: screen.text()}


def _formatter(shell: InteractiveShell) -> Any:
    """IPython's formatter for objects that display themselves; IPython declares no type for it."""
    return cast("Any", shell.display_formatter).ipython_display_formatter


def add_display(shell: InteractiveShell) -> None:
    """Show steppers live.

    Args:
        shell: The shell.
    """
    _formatter(shell).for_type_by_name(*SHOWN, show)


def drop_display(shell: InteractiveShell) -> None:
    """Show steppers as any other object again.

    Args:
        shell: The shell, whether or not it shows them live.
    """
    _formatter(shell).pop(".".join(SHOWN), None)
