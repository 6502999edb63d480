"""Arrays for `fit` in the order in which compiled programs read them."""

import numpy as np

from onecycle.engine.batch_order import BatchPlan, RowOrder


def in_program_order(arrays, *, seed, batch_size, epochs):
    """Return the arguments of `fit`, except its epochs.

    On JAX `fit` draws that order itself after `keras.utils.set_random_seed(seed)`. The others draw another order,
    so the batches are prepared in a data set.
    """
    import keras

    if keras.backend.backend() == "jax":
        return dict(zip(("x", "y", "sample_weight"), arrays, strict=False)) | {"batch_size": batch_size}
    plan = BatchPlan(len(arrays[0]), batch_size)
    rows = RowOrder(plan, seed).take(epochs * plan.steps_per_epoch)
    batches = [own[:size] for own, size in zip(rows, plan.batch_sizes(len(rows)), strict=True)]
    whole = tuple(np.asarray(array, "float32") for array in arrays)
    if keras.backend.backend() == "torch":
        import torch

        dataset = torch.utils.data.TensorDataset(*map(torch.from_numpy, whole))
        loader = torch.utils.data.DataLoader(dataset, batch_sampler=[own.tolist() for own in batches])
        return {"x": loader, "steps_per_epoch": plan.steps_per_epoch, "shuffle": False}
    import tensorflow as tf

    signature = tuple(tf.TensorSpec((None, *array.shape[1:]), "float32") for array in whole)
    dataset = tf.data.Dataset.from_generator(
        lambda: (tuple(array[own] for array in whole) for own in batches), output_signature=signature
    )
    return {"x": dataset, "steps_per_epoch": plan.steps_per_epoch, "shuffle": False}
