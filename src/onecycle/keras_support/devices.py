"""Several devices and processes: the strategies of TensorFlow, the distributions of Keras, and `torch.distributed`.

Private names of Keras, checked on Keras 3.15.1: `Model._distribute_strategy` (TensorFlow).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import keras

from onecycle.keras_support import backends


def strategy_scope(model: keras.Model) -> AbstractContextManager[object]:
    """Return the scope in which additional variables have to be created: that of TensorFlow's strategy, if any."""
    if backends.name() == "tensorflow":
        scope: AbstractContextManager[object] = model.distribute_strategy.scope()
        return scope
    return nullcontext()


def count_replicas(model: keras.Model) -> int:
    """Return how many copies of the model train together under TensorFlow's strategy."""
    return model.distribute_strategy.num_replicas_in_sync if backends.name() == "tensorflow" else 1


def count_processes() -> int:
    """Return how many processes train together under Keras' distribution, each of which reads a part of each batch."""
    if backends.name() != "jax":
        return 1
    import jax

    return int(jax.process_count())


def is_distributed(model: keras.Model) -> bool:
    """Return whether the model trains under a strategy of TensorFlow or a distribution of Keras."""
    return keras.distribution.distribution() is not None or getattr(model, "_distribute_strategy", None) is not None


def is_data_parallel(model: keras.Model) -> bool:
    """Return whether the model is whole on each device of one machine, and each batch is split among them."""
    if backends.name() == "tensorflow":
        import tensorflow as tf

        return isinstance(getattr(model, "_distribute_strategy", None), tf.distribute.MirroredStrategy)
    return isinstance(keras.distribution.distribution(), keras.distribution.DataParallel) and count_processes() == 1


@contextmanager
def on_all_devices() -> Iterator[None]:
    """Within the block, a model that is built is whole on each device of this machine."""
    if backends.name() == "tensorflow":
        import tensorflow as tf

        with tf.distribute.MirroredStrategy().scope():
            yield
    else:
        with keras.distribution.DataParallel(devices=keras.distribution.list_devices()).scope():
            yield


def count_separate_processes() -> int:
    """Return how many processes of `torch.distributed` run, each of which Keras' `fit` would train alone."""
    if backends.name() != "torch":
        return 1
    import torch

    active = torch.distributed.is_available() and torch.distributed.is_initialized()
    return int(torch.distributed.get_world_size()) if active else 1


def fast_steps_per_execution(model: keras.Model) -> int:
    """Return how many steps one call of the compiled function should run if onecycle may choose.

    TensorFlow runs the steps in one graph, JAX loops over them in Python, and PyTorch allows one. The loop of
    TensorFlow fails under a strategy with several replicas.
    """
    if backends.name() != "tensorflow" or model.run_eagerly:
        return 1
    return 1 if count_replicas(model) > 1 else 32
