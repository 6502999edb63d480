"""The curves and the Keras schedules made of them; nothing here knows an optimizer.

`curves`, `curve_tables` and `phases` need NumPy alone, so the schedule classes, which need keras, are loaded when
first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onecycle.schedules.cyclical import CyclicalLearningRate as CyclicalLearningRate
    from onecycle.schedules.one_cycle import OneCycle as OneCycle
    from onecycle.schedules.warmup import WarmupLinearDecay as WarmupLinearDecay
    from onecycle.schedules.warmup import WarmupStableDecay as WarmupStableDecay

_MODULES = {
    "CyclicalLearningRate": "cyclical",
    "OneCycle": "one_cycle",
    "WarmupLinearDecay": "warmup",
    "WarmupStableDecay": "warmup",
}

__all__ = ["CyclicalLearningRate", "OneCycle", "WarmupLinearDecay", "WarmupStableDecay"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # All of them, so that a saved model with any of these loads once one of them was used.
    for module in ("cyclical", "one_cycle", "peers", "warmup"):
        import_module(f"{__name__}.{module}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
