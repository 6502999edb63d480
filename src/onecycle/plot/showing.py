"""Showing a figure: inside a notebook, or in a window of matplotlib."""

from __future__ import annotations

import io
import sys
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 110  # of figures inside a notebook


class _Shell(Protocol):
    """The part of IPython's shell that is used here."""

    execution_count: int


class _LastShown:
    """What the last figure in a notebook showed, so that the value of the same cell does not show it again."""

    result: weakref.ref[object] | None = None
    cell: int | None = None


def in_notebook() -> bool:
    """Return whether the code runs in a notebook, whose front end shows figures."""
    return _notebook_shell() is not None


def show_figure(axes: Axes, result: object) -> None:
    """Show the figure of the Axes.

    Args:
        axes: Axes of the figure.
        result: The result that it shows.
    """
    shell = _notebook_shell()
    if shell is None:
        _show_window(axes)
        return
    from IPython.display import Image, display

    picture = Image(data=png(axes), format="png", alt=repr(result))  # type: ignore[no-untyped-call]
    display(picture)  # type: ignore[no-untyped-call]
    _LastShown.result, _LastShown.cell = weakref.ref(result), shell.execution_count


def shown_in_this_cell(result: object) -> bool:
    """Return whether the figure of a result was shown in the notebook's present cell."""
    shell = _notebook_shell()
    shown = None if _LastShown.result is None else _LastShown.result()
    return shell is not None and shown is result and _LastShown.cell == shell.execution_count


def png(axes: Axes) -> bytes:
    """Return the figure of the Axes as a PNG file."""
    file = io.BytesIO()
    figure = axes.get_figure(root=True)
    assert figure is not None  # Axes that were just drawn
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def _notebook_shell() -> _Shell | None:
    """Return IPython's shell if it runs in a kernel, and None in a terminal or without IPython."""
    if "IPython" not in sys.modules:
        return None
    shell = sys.modules["IPython"].get_ipython()
    return shell if shell is not None and hasattr(shell, "kernel") else None


def _show_window(axes: Axes) -> None:
    from matplotlib import pyplot

    figure = axes.get_figure(root=True)
    if figure is None or not pyplot.fignum_exists(getattr(figure, "number", -1)):
        # pyplot shows only figures that it manages, and takes over one that its `FigureClass` returns.
        pyplot.figure(FigureClass=lambda **options: figure)  # type: ignore[arg-type]
    pyplot.show()
