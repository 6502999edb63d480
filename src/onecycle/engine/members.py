"""The members of `train_members` and the result of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.hyperparameters.optimizer_traits import require_momentum
from onecycle.suggestions.arguments import check_number, check_seed

Array: TypeAlias = NDArray[np.float64]
Weights: TypeAlias = list[NDArray[Any]]  # what `model.get_weights()` returns
Hyperparameter: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


@dataclass(frozen=True)
class Member:
    """One training run of a model.

    Attributes:
        learning_rate: A number >= 0, or a schedule whose step 0 is the first step of the run.
        momentum: Value of the optimizer's momentum or beta_1: a number in [0, 1), a schedule, or None for the value
            that the optimizer was built with.
        seed: Seed of the data order, an integer in [0, 2**32).
        start: Another model with the same variables. The run starts with its weights, BatchNorm statistics and seed
            generators. None starts the run from the model itself. The optimizer always starts from the model's own
            state.
        skipped: Number of row orders that a compiled program draws and discards before the first epoch. The first
            `fit` of a model draws one to build its metrics, so 1 reproduces such a `fit`.
    """

    learning_rate: Hyperparameter
    momentum: Hyperparameter | None = None
    seed: int = 0
    start: keras.Model | None = None
    skipped: int = 0


MemberLike: TypeAlias = Member | Hyperparameter | tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class MemberRuns:
    """The runs of several members.

    Attributes:
        members: The members, in the order of the rows below.
        losses: (members, steps) the loss of each batch. NaN after the step at which a member diverged.
        metrics: Name -> (members, epochs) the value that `fit` reports: `loss` and the metrics of `compile`.
        validation: Name -> (members, evaluations) the same for the validation data. Empty without validation data.
        diverged_at: For each member the step of its first loss that is not finite, or None.
        weights: For each member the result of `model.get_weights()` after its last step. None unless requested.
        engine: `"vmap"` (all members at once in one compiled program), `"scan"` (members one after another in a
            compiled program) or `"fit"` (a call of `fit` for each member).
        reason: Why this engine was used, as a sentence.
        compile_seconds: Seconds spent on compiling and on choosing the engine. 0.0 if programs of an earlier call were
            reused, None if the time was not measured separately.
        train_seconds: Seconds spent on everything else.
    """

    members: tuple[Member, ...]
    losses: Array
    metrics: dict[str, Array]
    validation: dict[str, Array]
    diverged_at: tuple[int | None, ...]
    weights: tuple[Weights, ...] | None
    engine: str
    reason: str
    compile_seconds: float | None
    train_seconds: float

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """(members,) whether the member had a loss that is not finite."""
        return np.array([step is not None for step in self.diverged_at])


def as_members(members: Sequence[MemberLike], model: keras.Model) -> tuple[Member, ...]:
    """Convert the argument `members` of `train_members` and check each member.

    Args:
        members: For each run a `Member`, a tuple of its first fields, or a learning rate.
        model: The model that the members train.

    Returns:
        The members.

    Raises:
        ValueError: If there are no members, or if a field of a member is invalid.
    """
    converted = tuple(_as_member(member) for member in members)
    if not converted:
        raise ValueError("Argument `members` must have at least one entry. Received: an empty sequence")
    # Before any training, so that an error in the last member does not cost the others.
    for member in converted:
        _check_member(member, model)
    return converted


def _as_member(member: MemberLike) -> Member:
    if isinstance(member, Member):
        return member
    return Member(*member) if isinstance(member, tuple) else Member(member)


def _check_member(member: Member, model: keras.Model) -> None:
    _check_hyperparameter("learning_rate", member.learning_rate)
    if member.momentum is not None:
        _check_hyperparameter("momentum", member.momentum)
        require_momentum(model.optimizer)
    check_seed(member.seed)
    if member.start is not None and _variable_specs(member.start) != _variable_specs(model):
        raise ValueError(
            f"Argument `start` must be a model with the same variables as {model.name!r}. "
            f"Received: start={member.start.name!r}, whose variables differ in number, shape or dtype. "
            "Use `keras.models.clone_model` to make it."
        )


def _check_hyperparameter(name: str, value: Hyperparameter) -> None:
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        return
    number = check_number(name, value, minimum=0.0)
    if name == "momentum" and number >= 1:
        raise ValueError(f"Argument `momentum` must be < 1. Received: momentum={value}")


def _variable_specs(model: keras.Model) -> list[tuple[int, tuple[int, ...], str]]:
    """Return group, shape and dtype of the model's trainable and non-trainable variables."""
    groups = model.trainable_variables, model.non_trainable_variables
    return [(k, tuple(variable.shape), variable.dtype) for k, group in enumerate(groups) for variable in group]
