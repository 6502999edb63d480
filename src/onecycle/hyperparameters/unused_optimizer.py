"""The error for a model whose own `train_step` does not use the optimizer of `compile`, such as a GAN."""

from __future__ import annotations

import keras

from onecycle.keras_support.optimizers import held_optimizers


def unused_optimizer_error(model: keras.Model) -> ValueError:
    """Return the error that the scheduled optimizer makes no steps, with the remedy.

    Args:
        model: The model, whose `train_step` uses other optimizers or none.
    """
    kind, optimizer = type(model).__name__, type(model.optimizer).__name__
    others = [_name(model, other) for other in held_optimizers(model) if other is not model.optimizer]
    example = others[0].split(" ")[0] if others else "optimizer"
    return ValueError(
        f"The optimizer of `compile` ({optimizer}) made no step in training, so a schedule has no effect on it: "
        f"the `train_step` of {kind} does not use it. "
        + (f"The model also has {' and '.join(others)}. " if others else "")
        + "Schedule the optimizer that trains by its name, before `fit` and without a callback of onecycle: "
        f"`onecycle.schedule_hyperparameters({example}, learning_rate=onecycle.OneCycle(0.01, total_steps=...))`. "
        "The page 'Several optimizers' of the documentation has an example."
    )


def _name(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> str:
    """Return how the user's code calls an optimizer, and its class."""
    kind = type(optimizer).__name__
    names = [name for name, value in vars(model).items() if value is optimizer and not name.startswith("_")]
    return f"model.{names[0]} ({kind})" if names else f"optimizer ({kind})"
