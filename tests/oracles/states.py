"""What training can change in a model and around it, read out so that it can be compared bit for bit."""

import random

import numpy as np


def of_model(model):
    """Return every variable of a model by what holds it: weights and seed generators, metrics, optimizer."""
    groups = {
        "model": model.variables,
        "metrics": model.metrics_variables,
        "optimizer": model.optimizer.variables,
    }
    return {name: [_numpy(variable) for variable in variables] for name, variables in groups.items()}


def difference(one, other):
    """Return where two states of `of_model` differ by a bit or a variable: names, none where they are equal."""
    found = []
    for group in one:
        if len(one[group]) != len(other[group]):
            found.append(f"{group}: {len(one[group])} and {len(other[group])} variables")
            continue
        pairs = enumerate(zip(one[group], other[group], strict=True))
        found += [f"{group}[{i}]" for i, (a, b) in pairs if a.dtype != b.dtype or a.tobytes() != b.tobytes()]
    return found


def seed(number):
    """Seed every global random number generator; Keras leaves PyTorch's alone on other backends."""
    import keras
    import torch

    keras.utils.set_random_seed(number)
    torch.manual_seed(number)


def draws():
    """Return the next numbers of every global random number generator, TensorFlow's and PyTorch's on any backend."""
    import keras
    import tensorflow as tf
    import torch

    return {
        "python": random.random(),
        "numpy": np.random.random(),  # noqa: NPY002 - Keras draws from it
        "tensorflow": [float(tf.random.uniform(())) for _ in range(2)],
        "torch": float(torch.rand(())),
        "keras": float(keras.ops.convert_to_numpy(keras.random.uniform(()))),
    }


def _numpy(variable):
    import keras

    if keras.backend.backend() == "tensorflow":  # also what tf.distribute mirrors
        return np.array(variable.value.numpy())
    return np.array(keras.ops.convert_to_numpy(variable.value))
