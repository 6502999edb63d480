"""Paired comparisons of ways to train: the runs, their records, and what can be said of them.

from onecycle.studies import compare

A worker process imports this package before it may import keras, so nothing is read here until it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onecycle.studies.comparing import compare

__all__ = ["compare"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from onecycle.studies.comparing import compare

        return compare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
