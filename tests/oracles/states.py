"""The state that training can change in a model and around it, to be compared to the bit."""

import random

import numpy as np


def of_model(model):
    """Return the variables of the model (weights and seed generators), of its metrics and of its optimizer."""
    groups = {
        "model": model.variables,
        "metrics": model.metrics_variables,
        "optimizer": model.optimizer.variables,
    }
    return {name: [_numpy(variable) for variable in variables] for name, variables in groups.items()}


def difference(one, other):
    """Return the names of the variables in which two results of `of_model` differ, by a bit or by their number."""
    found = []
    for group in one:
        if len(one[group]) != len(other[group]):
            found.append(f"{group}: {len(one[group])} and {len(other[group])} variables")
            continue
        pairs = enumerate(zip(one[group], other[group], strict=True))
        found += [f"{group}[{i}]" for i, (a, b) in pairs if a.dtype != b.dtype or a.tobytes() != b.tobytes()]
    return found


def seed(number):
    """Seed every global random number generator. On other backends Keras does not seed that of PyTorch."""
    import keras
    import torch

    keras.utils.set_random_seed(number)
    torch.manual_seed(number)


def draws():
    """Return the next numbers of every global random number generator, those of all backends included."""
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

    if keras.backend.backend() == "tensorflow":  # also variables that tf.distribute mirrors
        return np.array(variable.value.numpy())
    return np.array(keras.ops.convert_to_numpy(variable.value))
