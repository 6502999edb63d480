"""The base class of all results."""

from __future__ import annotations

import contextlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from onecycle.results import codec

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Result(ABC):
    """A frozen record that prints, plots, saves and loads without the model that produced it.

    Subclasses are frozen dataclasses with `eq=False` and `repr=False`, decorated with `@codec.storable`. Arrays are
    stored as read-only copies. Results are equal when all their fields are equal; NaN equals NaN.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    @abstractmethod
    def summary(self) -> str:
        """Return the result as a few lines of text."""

    def plot(self, ax: Axes | None = None, *, show: bool | None = None) -> Axes:
        """Draw the result.

        Args:
            ax: Axes to draw on, or None for a new figure.
            show: Whether to show the figure: in a notebook inside it, elsewhere in a window of matplotlib. None for
                True in a notebook with a new figure, and False otherwise.

        Returns:
            The Axes. `onecycle.plot.save_figure(axes, path)` writes the figure to a file.

        Raises:
            ImportError: If matplotlib is missing. The message says what to install.
        """
        axes = self._draw(ax)
        # Imported afterwards, so that without matplotlib the error is that of the drawing.
        from onecycle.plot.showing import in_notebook, show_figure

        if show or (show is None and ax is None and in_notebook()):
            show_figure(axes, self)
        return axes

    def show_in_notebook(self) -> None:
        """Show the plot if the code runs in a notebook and matplotlib is installed. Otherwise, do nothing."""
        from onecycle.plot.showing import in_notebook

        if in_notebook():
            with contextlib.suppress(ImportError):
                self.plot(show=True)

    @abstractmethod
    def _draw(self, ax: Axes | None) -> Axes:
        """Draw the result on Axes, or on those of a new figure, and return them."""

    @abstractmethod
    def _headline(self) -> str:
        """Return what the result holds in a few words, which are shown in parentheses in its `repr`."""

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write the result as one HTML file with interactive figures, tables, and the code that repeats it.

        The file can be opened without a network.

        Args:
            path: File to write. An existing file is replaced.

        Raises:
            ImportError: If plotly is missing. The message says what to install.
            OSError: If the file cannot be written.
        """
        # Imported here, as plots and reports import results, and need matplotlib or plotly.
        from onecycle.report import write_report

        write_report([self], path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result as JSON. `onecycle.load(path)` returns an equal result.

        Args:
            path: File to write. An existing file is replaced as a whole, or left as it is after an error.

        Raises:
            OSError: If the file cannot be written.
        """
        codec.save_object(self, path)

    def _repr_html_(self) -> str:
        """Return the HTML that notebooks show: the verdict, the main table and, with matplotlib, the plot."""
        from onecycle.report.notebook import notebook_html

        return notebook_html(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._headline()})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        # Left out are fields that depend on the clock, since the same seed must give an equal result.
        return all(_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self) if f.compare)

    def _freeze(self, name: str, dtype: DTypeLike = np.float64) -> None:
        """Replace a field by a read-only array of its values."""
        array: NDArray[Any] = np.array(getattr(self, name), dtype=dtype)
        array.setflags(write=False)
        # A frozen dataclass refuses plain assignment, even in `__post_init__`.
        object.__setattr__(self, name, array)


def _equal(one: object, other: object) -> bool:
    """Return whether two field values are equal, with NaN equal to NaN at every depth."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
    # `==` of containers would compare arrays element by element, and NaN as unequal.
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and type(one) is type(other):
        return len(one) == len(other) and all(map(_equal, one, other))
    if is_dataclass(one) and not isinstance(one, Result) and type(one) is type(other):
        return all(_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return bool(one == other)
