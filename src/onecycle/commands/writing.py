"""The files that a person asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write(result: Any, *, save: Path | None, plot: Path | None) -> None:
    """Write a result as JSON, as a picture, or neither."""
    if save is not None:
        result.save(save)
    if plot is not None:
        from onecycle.plot import save_figure

        save_figure(result.plot(), plot)
