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
from numpy.typing import NDArray

_NEGLIGIBLE = 1e-9  # below float32's resolution of 1 - x
_LONGEST_TABLE = 2**16


@dataclass(frozen=True)
class BiasCorrection:
    """Factors on Adam's rate that turn its division by `1 - beta ** t` into one by `1 - product of betas`.

    Attributes:
        factors: (n,) the factor of update u at u; from n - 1 on it is the last one, 1.
        products: (n - 1,) the product of the betas up to and with update u.
    """

    factors: NDArray[np.float64]
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
        if product < _NEGLIGIBLE:
            return cls(np.ones(1), np.zeros(0))
        betas, products = [], [product] * first
        for update in range(first, _LONGEST_TABLE):
            step = (update + 1) * steps_per_update - 1
            beta = beta_at(step) if step >= start_step else own
            product *= beta
            betas.append(beta)
            products.append(product)
            if max(product, beta ** (update + 1)) < _NEGLIGIBLE:
                break
        powers = np.array(betas) ** np.arange(first + 1, first + len(betas) + 1)
        factors = (1.0 - powers) / (1.0 - np.array(products[first:]))
        return cls(np.concatenate([np.ones(first), factors, [1.0]]), np.array(products))

    def factor(self, step: Any, steps_per_update: int) -> Any:
        """The factor at a step: a float for a Python int, else a tensor."""
        update = step // steps_per_update
        last = len(self.factors) - 1
        if isinstance(update, int):
            return float(self.factors[min(update, last)])
        table = keras.ops.convert_to_tensor(self.factors, dtype=keras.config.floatx())
        return keras.ops.take(table, keras.ops.minimum(update, last))

    def product(self, updates: int) -> float:
        """The product of the betas of the first `updates` updates."""
        if updates == 0:
            return 1.0
        return float(self.products[updates - 1]) if updates <= len(self.products) else 0.0
