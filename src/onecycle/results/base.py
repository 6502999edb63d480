"""What every result is: a frozen record that prints, plots, saves, and equals what was saved once it is loaded."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onecycle.results import codec

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Result(ABC):
    """What every result can do. A new one is a frozen dataclass with `eq=False`, under `@codec.storable`.

    Arrays are kept as read-only copies; results are equal when all their fields are, NaN equal to NaN.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    @abstractmethod
    def summary(self) -> str:
        """Returns the result as text of a few lines."""

    @abstractmethod
    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the result on `ax`, or on a new figure, and returns the Axes; shows nothing."""

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Writes the result as one HTML file: pictures that can be asked, tables, and how to repeat it. No network.

        Raises:
            ImportError: without plotly; the message says what to install.
            OSError: if the file cannot be written.
        """
        from onecycle.report import write_report

        write_report([self], path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the result as JSON, whole or not at all; `onecycle.load(path)` gives it back, equal."""
        codec.save(self, path)

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, the table that says most, and the picture where there is matplotlib."""
        from onecycle.report.notebook import notebook_html

        return notebook_html(self)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    def _freeze(self, name: str) -> None:
        array: NDArray[np.float64] = np.array(getattr(self, name), dtype=np.float64)
        array.setflags(write=False)
        object.__setattr__(self, name, array)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and type(one) is type(other):
        return len(one) == len(other) and all(map(_same, one, other))
    if is_dataclass(one) and not isinstance(one, Result) and type(one) is type(other):
        return all(_same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return bool(one == other)
