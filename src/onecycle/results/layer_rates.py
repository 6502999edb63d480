"""The rates of layers, as the results of training describe them."""

from __future__ import annotations

from collections.abc import Mapping

MAX_ENTRIES_SHOWN = 12
SEPARATOR = ", "  # of the members of a group


def describe_layer_rates(layer_rates: Mapping[str, float]) -> str:
    """Return the factors of layers as text; "" if there are none.

    Args:
        layer_rates: Layers -> factor on their learning rate.
    """
    shown = [f"{layers} {factor:g}" for layers, factor in list(layer_rates.items())[:MAX_ENTRIES_SHOWN]]
    more = len(layer_rates) - len(shown)
    return "; ".join([*shown, *([f"{more} more"] if more else [])])


def layer_rates_argument(layer_rates: Mapping[str, float]) -> dict[str | tuple[str, ...], float]:
    """Return the argument `layer_rates` that names the same layers.

    Args:
        layer_rates: Layers -> factor, where the members of a group are separated as in the results.
    """
    groups = {tuple(layers.split(SEPARATOR)): factor for layers, factor in layer_rates.items()}
    return {group[0] if len(group) == 1 else group: factor for group, factor in groups.items()}
