"""Curves and the Keras schedules made of them. Nothing here knows an optimizer.

`curves`, `curve_tables` and `phases` need only NumPy. The schedule classes need keras and are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from onecycle.schedules.registration import SAVED_CLASSES

if TYPE_CHECKING:
    from onecycle.schedules.cyclical import CyclicalLearningRate as CyclicalLearningRate
    from onecycle.schedules.one_cycle import OneCycle as OneCycle
    from onecycle.schedules.warmup import WarmupLinearDecay as WarmupLinearDecay
    from onecycle.schedules.warmup import WarmupStableDecay as WarmupStableDecay

__all__ = ["CyclicalLearningRate", "OneCycle", "WarmupLinearDecay", "WarmupStableDecay"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{SAVED_CLASSES[name]}"), name)
