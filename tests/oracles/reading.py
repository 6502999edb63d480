"""Arrays for `fit`, to be read in the order in which compiled programs read them."""

import numpy as np

from onecycle.engine.batch_order import Order, Plan


def as_programs_do(arrays, *, seed, batch_size, epochs):
    """Return arguments of `fit` beside its epochs.

    On JAX `fit` itself draws that order right after `keras.utils.set_random_seed(seed)`. On TensorFlow it draws
    another, so the batches are laid out for it.
    """
    import keras

    if keras.backend.backend() == "jax":
        return dict(zip(("x", "y", "sample_weight"), arrays, strict=False)) | {"batch_size": batch_size}
    import tensorflow as tf

    plan = Plan(len(arrays[0]), batch_size)
    rows = Order(plan, seed).take(epochs * plan.steps)
    batches = [own[:size] for own, size in zip(rows, plan.sizes(len(rows)), strict=True)]
    whole = tuple(np.asarray(array, "float32") for array in arrays)
    signature = tuple(tf.TensorSpec((None, *array.shape[1:]), "float32") for array in whole)
    dataset = tf.data.Dataset.from_generator(
        lambda: (tuple(array[own] for array in whole) for own in batches), output_signature=signature
    )
    return {"x": dataset, "steps_per_epoch": plan.steps, "shuffle": False}
