"""A moving average of a model's weights, kept on the device beside a running `fit`.

Keras' own `use_ema` would write the average over the weights when `fit` ends. Private names, checked on PyTorch 2.13:
`torch._foreach_lerp_`, which its own `torch.optim.swa_utils` uses.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support import backends, step_state

Tensors = list[keras.KerasTensor]
AverageState = tuple[int, list[NDArray[np.float32]]]  # the step and the values on the host
Update = Callable[[Tensors, Tensors, float], Tensors]

WINDOW = 0.1  # of the steps so far; from 0.03 to 0.1 it made no difference (Ajroldi et al. 2025, arXiv:2502.06761)


class WeightAverage:
    """The exponential moving average of weights and BatchNormalization statistics, with a window that grows.

    At step t of the training, the average moves towards the weights by 1 / (0.1 t) of their distance. With an update
    in every kth step only, it moves k times as far.

    Args:
        model: A model whose weights exist.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._positions, self._variables = _averaged(model)
        self._values: Tensors | None = None
        self._step = 0
        self._update: Update = _UPDATES[backends.name()]()

    def update(self, step: int) -> None:
        """Add the current weights. It may be called while `fit` is running.

        Args:
            step: Number of steps trained, more than at the last update.
        """
        rate = move_rate(step, None if self._values is None else self._step)
        weights = self._weights()
        self._values = self._update(weights if self._values is None else self._values, weights, rate)
        self._step = step

    def state(self) -> AverageState:
        """Return the step and the average, so that another training of the model can take its place."""
        values = [] if self._values is None else [keras.ops.convert_to_numpy(value).copy() for value in self._values]
        return self._step, values

    def set_state(self, state: AverageState) -> None:
        """Go on with what `state` returned."""
        self._step, values = state
        self._values = [keras.ops.convert_to_tensor(value) for value in values] if values else None

    def assign(self, state: AverageState) -> None:
        """Give the model an average as its weights. Without an update so far, they stay."""
        # The values are on the host, because JAX donates the arrays that it trains or evaluates with.
        for variable, value in zip(self._variables if state[1] else [], state[1], strict=True):
            variable.assign(value)

    def _weights(self) -> Tensors:
        weights = step_state.current_weights(self._model)
        return [weights[position] for position in self._positions]


def is_update(before: int, step: int, every: int) -> bool:
    """Return whether the average is updated after the steps up to `step`, of which those up to `before` were earlier.

    Args:
        before: Number of steps trained before.
        step: Number of steps trained.
        every: Steps between two updates.
    """
    return step // every > before // every


def move_rate(step: int, last: int | None) -> float:
    """Return the part of the way to the weights that the average moves.

    Args:
        step: Number of steps trained.
        last: The same at the last update; None for the first one, after which the average is the weights.
    """
    return 1.0 if last is None else min(1.0, (step - last) / (WINDOW * step))


def _averaged(model: keras.Model) -> tuple[list[int], list[keras.Variable]]:
    """Return the positions among the model's weights of those that are averaged, and these; counters are left out."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    found = [(k, one) for k, one in enumerate(variables) if keras.backend.is_float_dtype(one.dtype)]
    return [k for k, _ in found], [one for _, one in found]


def _jax_update() -> Update:
    import jax
    import jax.numpy as jnp

    @jax.jit
    def update(averages: Tensors, weights: Tensors, rate: float) -> Tensors:
        pairs = [(a.astype(jnp.float32), w.astype(jnp.float32)) for a, w in zip(averages, weights, strict=True)]
        return [a + (w - a) * rate for a, w in pairs]

    return update


def _tensorflow_update() -> Update:
    import tensorflow as tf

    compiled: list[Callable[[keras.KerasTensor], None]] = []
    inside: Tensors = []

    def compile_for(weights: Tensors) -> None:
        # Variables that the function captures: as arguments, each would cost several microseconds per call.
        inside.extend(tf.Variable(tf.cast(weight, tf.float32), trainable=False) for weight in weights)

        # One kernel costs a quarter of the time of many. Variables that a strategy mirrors cannot be in it.
        @tf.function(autograph=False, jit_compile=not any(hasattr(weight, "values") for weight in weights))
        def move(rate: keras.KerasTensor) -> None:
            for average, weight in zip(inside, weights, strict=True):
                average.assign_add((tf.cast(weight, tf.float32) - average) * rate)

        compiled.append(move)

    def update(averages: Tensors, weights: Tensors, rate: float) -> Tensors:
        if not compiled:
            compile_for(weights)
        if averages is not inside:
            for average, value in zip(inside, averages, strict=True):
                average.assign(tf.cast(value, tf.float32))
        compiled[0](tf.constant(rate, tf.float32))
        return inside

    return update


def _torch_update() -> Update:
    import torch

    @torch.no_grad()
    def update(averages: Tensors, weights: Tensors, rate: float) -> Tensors:
        if averages is weights:
            return [weight.detach().to(torch.float32, copy=True) for weight in weights]
        torch._foreach_lerp_(averages, [weight.detach().to(torch.float32) for weight in weights], rate)
        return averages

    return update


_UPDATES: dict[str, Callable[[], Update]] = {
    "jax": _jax_update,
    "tensorflow": _tensorflow_update,
    "torch": _torch_update,
}
