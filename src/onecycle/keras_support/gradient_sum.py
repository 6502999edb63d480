"""A training step without the sum of the gradients over replicas, where there is a single one (TensorFlow).

Even with a single replica, Keras sums the gradients in a function with a custom gradient. TensorFlow registers each
such gradient for as long as the process lives, and what is registered holds the graph of the step. This takes 2 to 5
MB for each new model that is trained.

Private name of Keras, checked on Keras 3.15.1: `Optimizer._all_reduce_sum_gradients`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TypeAlias

import keras

from onecycle.keras_support.attributes import AttributeOverride
from onecycle.keras_support.types import Nested

_SUM = "_all_reduce_sum_gradients"
_Pairs: TypeAlias = "Sequence[tuple[Nested, Nested]]"  # (gradient, variable)


def without_gradient_sum(*optimizers: keras.optimizers.Optimizer) -> AbstractContextManager[object]:
    """Let optimizers take the gradients as they are while the block runs, wherever a step has one replica."""
    if keras.backend.backend() != "tensorflow":
        return nullcontext()
    import tensorflow as tf

    if tf.distribute.has_strategy():  # replicas take turns here, each in its own thread
        return nullcontext()
    overrides = ExitStack()
    for optimizer in optimizers:
        # `LossScaleOptimizer` and `MultiOptimizer` leave the sum to the optimizers inside them.
        if hasattr(optimizer, _SUM):
            overrides.enter_context(AttributeOverride(optimizer, **{_SUM: _sum_over_several(optimizer)}))
    return overrides


def _sum_over_several(optimizer: keras.optimizers.Optimizer) -> Callable[[_Pairs], _Pairs]:
    import tensorflow as tf

    summed: Callable[[_Pairs], _Pairs] = getattr(optimizer, _SUM)
    return lambda pairs: summed(pairs) if tf.distribute.has_strategy() else pairs
