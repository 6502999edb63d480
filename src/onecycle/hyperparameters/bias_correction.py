"""Adam's bias correction under a changing beta_1: by the product of the betas, from a table in the graph.

Adam divides its first moment by `1 - beta_1 ** t`, the weight that t equal steps have gathered. Under a schedule that
weight is `1 - beta_1(1) · … · beta_1(t)`. Keras (and PyTorch) take the current beta to the power t, which is wrong
until both have vanished, within the first hundred steps or so. The product is a fixed function of the step, so a
short table does it, without a variable more in the optimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

_NEGLIGIBLE = 1e-9  # below float32's resolution of 1 - x
_LONGEST_TABLE = 2**16


@dataclass(frozen=True)
class BiasCorrection:
    """Factors on Adam's rate that turn its division by `1 - beta ** t` into one by `1 - product of betas`.

    Attributes:
        products: (n,) the product of the betas up to and with update u at u; the last one, 0, stands for all later.
    """

    products: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        beta_at: Callable[[int], float],
        *,
        start_step: int,
        own: float,
        past: tuple[int, float],
        steps_per_update: int,
    ) -> BiasCorrection:
        """The correction of a beta that is `own` before `start_step` and `beta_at(step)` from there on.

        Args:
            past: Number of the updates made under an earlier schedule, and the product of their betas.
        """
        first, product = past
        products = [] if product < _NEGLIGIBLE else [product] * first
        while product >= _NEGLIGIBLE and len(products) < _LONGEST_TABLE:
            step = (len(products) + 1) * steps_per_update - 1
            product *= beta_at(step) if step >= start_step else own
            products.append(product)
        return cls(np.array([*products, 0.0]))

    def factor(self, step: Any, beta: Any, steps_per_update: int) -> Any:
        """The factor at a step whose beta is given: a float for a Python int, else a tensor."""
        update = step // steps_per_update
        last = self.products.shape[0] - 1
        if isinstance(update, int):
            return (1.0 - beta ** (update + 1)) / (1.0 - float(self.products[min(update, last)]))
        dtype = keras.config.floatx()
        product = ops.take(ops.convert_to_tensor(self.products, dtype=dtype), ops.minimum(update, last))
        power = ops.power(ops.convert_to_tensor(beta, dtype=dtype), ops.cast(update + 1, dtype))  # as Keras has it
        return (1.0 - power) / (1.0 - product)

    def product(self, updates: int) -> float:
        """The product of the betas of the first `updates` updates."""
        return float(self.products[min(updates, len(self.products)) - 1]) if updates else 1.0
