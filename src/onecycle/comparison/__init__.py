"""Paired comparisons of ways to train: the runs, their records, and the verdicts.

Its public function is `compare`, also available as `onecycle.compare`.

A worker process imports this package before Keras may be imported, so nothing else is imported until it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onecycle.comparison.comparing import compare

__all__ = ["compare"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from onecycle.comparison.comparing import compare
    except ModuleNotFoundError as error:
        if error.name != "scipy":
            raise
        message = "Comparisons need scipy and joblib. Install them with: pip install scipy joblib cloudpickle"
        raise ModuleNotFoundError(message, name=error.name) from error
    return compare
