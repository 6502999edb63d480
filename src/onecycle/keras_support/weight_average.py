"""A moving average of a model's weights, kept on the device beside a running `fit`.

Keras' own `use_ema` would write the average over the weights when `fit` ends. Private names, checked on PyTorch 2.13:
`torch._foreach_lerp_`, which its own `torch.optim.swa_utils` uses.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from onecycle.keras_support import backends, step_state

Tensors = list[keras.KerasTensor]
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

    def copy_empty(self) -> WeightAverage:
        """Return an average without values for another training of the model. It shares the compiled update."""
        other = WeightAverage(self._model)
        other._update = self._update
        return other

    def update(self, step: int) -> None:
        """Add the current weights. It may be called while `fit` is running.

        Args:
            step: Number of steps trained, more than at the last update.
        """
        rate = 1.0 if self._values is None else min(1.0, (step - self._step) / (WINDOW * step))
        weights = self._weights()
        self._values = self._update(weights if self._values is None else self._values, weights, rate)
        self._step = step

    def assign(self) -> None:
        """Give the model the average as its weights. Without an update so far, they stay."""
        if self._values is None:
            return
        for variable, value in zip(self._variables, self._values, strict=True):
            # A copy on the host, because JAX donates the arrays that it trains or evaluates with.
            variable.assign(keras.ops.cast(keras.ops.convert_to_numpy(value).copy(), variable.dtype))

    def _weights(self) -> Tensors:
        weights = step_state.current_weights(self._model)
        return [weights[position] for position in self._positions]


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

    @tf.function
    def compiled(averages: Tensors, weights: Tensors, rate: keras.KerasTensor) -> Tensors:
        pairs = [(tf.cast(a, tf.float32), tf.cast(w, tf.float32)) for a, w in zip(averages, weights, strict=True)]
        return [a + (w - a) * rate for a, w in pairs]

    def update(averages: Tensors, weights: Tensors, rate: float) -> Tensors:
        return list(compiled(averages, weights, tf.constant(rate, tf.float32)))

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
