"""Display: how a cell shows a stepper: the live widget where there is a page, some lines at a terminal."""

# IPython declares no types for what is used here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

if TYPE_CHECKING:
    from openmanus_graph.notebook.widget import StepperWidget
    from openmanus_graph.stepping.stepper import Stepper

SHOWN = ("openmanus_graph.stepping.stepper", "Stepper")
"""The module and the class whose objects are shown so; by name, so that the extension imports nothing for it."""
WITHOUT = 'For buttons and live pictures: pip install "openmanus-graph[notebook]", restart the kernel, run this again.'

_widgets: WeakKeyDictionary[Stepper, StepperWidget] = WeakKeyDictionary()


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
    widget = _widgets.get(stepper)
    if widget is None:
        widget = _widgets[stepper] = StepperWidget(stepper)
    display(widget)
    widget.keep(display(widget.still(), raw=True, display_id=True))


def _still(stepper: Stepper) -> dict[str, str]:
    from openmanus_graph.notebook.pictures import SVG, TEXT
    from openmanus_graph.notebook.screen import Screen

    screen = Screen(stepper)
    return {SVG: screen.still(), TEXT: screen.text()}


def _formatter(shell: InteractiveShell) -> Any:
    """What shows an object by itself instead of giving its media types; IPython declares no type for it."""
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
