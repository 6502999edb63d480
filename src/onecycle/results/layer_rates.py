"""The rates of layers, as the results of training describe them."""

from __future__ import annotations

from collections.abc import Mapping

MAX_ENTRIES_SHOWN = 12


def describe_layer_rates(layer_rates: Mapping[str, float]) -> str:
    """Return the factors of layers as text; "" if there are none.

    Args:
        layer_rates: Layers -> factor on their learning rate.
    """
    shown = [f"{layers} {factor:g}" for layers, factor in list(layer_rates.items())[:MAX_ENTRIES_SHOWN]]
    more = len(layer_rates) - len(shown)
    return "; ".join([*shown, *([f"{more} more"] if more else [])])
