"""What the optimizers of Keras call their momentum, and how they use it."""

from __future__ import annotations

import keras

from onecycle.keras_support.optimizers import inner_optimizers

# By name, since an older Keras lacks some of these classes. No class here is a subclass of another one; AdamW is a
# subclass of Adam.
_MOMENTUM_ATTRIBUTES = {
    "Muon": ("momentum", "adam_beta_1"),
    "SGD": ("momentum",),
    "RMSprop": ("momentum",),
    "Adam": ("beta_1",),
    "Nadam": ("beta_1",),
    "Adamax": ("beta_1",),
    "Lamb": ("beta_1",),
    "Lion": ("beta_1",),
}
_COMPARES_MOMENTUM = ("SGD", "RMSprop")
_DOES_NOT_CAST = ("Muon", "Nadam")
# Adadelta is none of them: it scales its steps by earlier ones, and its usual learning rate is 1.
_NORMALIZES_GRADIENTS = (
    *("Adam", "Nadam", "Adamax", "Adafactor", "Adagrad", "Ftrl", "Lamb", "Lion", "Muon", "RMSprop"),
    "ScheduleFreeAdamW",
)

# An optimizer that divides by the size of the gradient changes each weight by about the learning rate in each step.
# The weights of a network that trains are smaller than 1.
HIGHEST_NORMALIZED_PEAK = 1.0


def momentum_attributes(optimizer: keras.optimizers.Optimizer) -> tuple[str, ...]:
    """Return the names of the attributes that hold the optimizer's momentum; none if it has no momentum."""
    for name, attributes in _MOMENTUM_ATTRIBUTES.items():
        if is_optimizer(optimizer, name):
            return attributes
    return ()


def has_momentum(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether the optimizer, and every one inside it, has a momentum (or beta_1) that can be scheduled."""
    return all(_reason_against_momentum(inner) is None for inner in inner_optimizers(optimizer))


def require_momentum(optimizer: keras.optimizers.Optimizer) -> None:
    """Check that the optimizer, and every one inside it, has a momentum (or beta_1) that can be scheduled.

    Raises:
        ValueError: If it has none.
    """
    for inner in inner_optimizers(optimizer):
        reason = _reason_against_momentum(inner)
        if reason:
            raise ValueError(reason)


def weight_decay_attributes(optimizer: keras.optimizers.Optimizer) -> tuple[str, ...]:
    """Return the names of the attributes that hold the optimizer's weight decay."""
    return ("weight_decay", "adam_weight_decay") if is_optimizer(optimizer, "Muon") else ("weight_decay",)


def compares_momentum(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether the optimizer compares its momentum with 0 in each step, which a traced tensor cannot do."""
    return any(is_optimizer(optimizer, name) for name in _COMPARES_MOMENTUM)


def casts_momentum(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether the optimizer combines its momentum with variables of any precision."""
    return not any(is_optimizer(optimizer, name) for name in _DOES_NOT_CAST)


def normalizes_gradients(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether all optimizers that do the work divide by the size of the gradient, as Adam does.

    The steps of such an optimizer depend on the learning rate alone, not on the scale of the loss.
    """
    return all(
        any(is_optimizer(inner, name) for name in _NORMALIZES_GRADIENTS) for inner in inner_optimizers(optimizer)
    )


def is_optimizer(optimizer: keras.optimizers.Optimizer, class_name: str) -> bool:
    """Return whether the optimizer is an instance of a class of `keras.optimizers`, which this Keras may lack."""
    optimizer_class = getattr(keras.optimizers, class_name, None)
    return optimizer_class is not None and isinstance(optimizer, optimizer_class)


def _reason_against_momentum(optimizer: keras.optimizers.Optimizer) -> str | None:
    """Return why the momentum cannot be scheduled, or None if it can."""
    kind = type(optimizer).__name__
    attributes = momentum_attributes(optimizer)
    if not attributes:
        return (
            f"The optimizer {kind} has no `momentum` or `beta_1` that onecycle can schedule. "
            "Pass `momentum=None`, or use SGD, RMSprop, Adam, AdamW, Nadam, Adamax, Lamb, Lion or Muon."
        )
    # Such an optimizer makes no variables for the velocity when it is built.
    if attributes == ("momentum",) and not optimizer.momentum:
        return (
            f"The optimizer {kind} was built with momentum=0.0 and so has no velocity that a momentum could act on. "
            f"Build it with one, for example keras.optimizers.{kind}(momentum=0.9), or pass `momentum=None`."
        )
    return None
