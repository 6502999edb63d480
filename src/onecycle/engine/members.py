"""What is trained, member by member, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.hyperparameters.scheduling import require_momentum
from onecycle.suggestions.arguments import count, number

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Member:
    """One run of a model.

    Args:
        learning_rate: A number >= 0, or a schedule whose step 0 is the run's first.
        momentum: What the optimizer calls momentum or beta_1: a number in [0, 1), a schedule, or None for the
            optimizer's own.
        seed: Of the data order: an integer in [0, 2**32).
        start: Another model of the same kind, with whose weights, BatchNorm and seed generators the run begins; None
            for those of the model itself. The optimizer begins as the model's own.
        skipped: Orders of the rows that are drawn before the first epoch's, by a compiled program: the first `fit` of a
            model draws one to build its metrics with.
    """

    learning_rate: Any
    momentum: Any = None
    seed: int = 0
    start: Any = None
    skipped: int = 0


@dataclass(frozen=True, eq=False)
class MemberRuns:
    """The runs of several members.

    Attributes:
        members: What was trained.
        losses: (members, steps) the true loss of each batch; NaN after the step at which a member diverged.
        metrics: Name → (members, epochs) what `fit` calls `loss`, and the metrics the model was compiled with.
        validation: Name → (members, evaluations) the same of the validation data, empty without any.
        diverged_at: For each member the step of its first loss that was not finite, or None.
        weights: For each member what `model.get_weights()` gives after its last step; None unless asked for.
        engine: `"vmap"` (all members in one compiled program), `"scan"` (one after the other through one) or `"fit"`.
        reason: Why that one, as a sentence.
        compile_seconds: Spent on compiling and on choosing, 0.0 where programs of an earlier call were used; None
            where it is not known apart.
        train_seconds: Spent on the rest.
    """

    members: tuple[Member, ...]
    losses: Array
    metrics: dict[str, Array]
    validation: dict[str, Array]
    diverged_at: tuple[int | None, ...]
    weights: tuple[list[NDArray[Any]], ...] | None
    engine: str
    reason: str
    compile_seconds: float | None
    train_seconds: float

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """(members,) whether a member's loss was not finite at some step."""
        return np.array([step is not None for step in self.diverged_at])


def checked(members: Sequence[Any], model: Any) -> tuple[Member, ...]:
    """The members, each also given as (learning_rate, momentum, seed) or a shorter tuple; raises for what is none."""
    found = tuple(member if isinstance(member, Member) else Member(*_as_tuple(member)) for member in members)
    if not found:
        raise ValueError("Argument `members` must have at least one member. Received: none")
    for member in found:
        _check(member.learning_rate, "learning_rate")
        if member.momentum is not None:
            _check(member.momentum, "momentum")
            require_momentum(model.optimizer)
        if count("seed", member.seed, least=0) >= 2**32:
            raise ValueError(f"Argument `seed` must be < 2**32. Received: seed={member.seed}")
        if member.start is not None and _kind(member.start) != _kind(model):
            raise ValueError("Argument `start` must be a model with the same variables. Received: one with others")
    return found


def diverged_at(losses: Array) -> tuple[int | None, ...]:
    """The first step of each row whose loss is not finite, or None; padding of shorter runs is no step."""
    bad = ~np.isfinite(losses)
    return tuple(int(np.argmax(row)) if row.any() else None for row in bad)


def _kind(model: Any) -> list[tuple[Any, ...]]:
    groups = model.trainable_variables, model.non_trainable_variables
    return [(k, tuple(variable.shape), variable.dtype) for k, group in enumerate(groups) for variable in group]


def _as_tuple(member: Any) -> tuple[Any, ...]:
    return member if isinstance(member, tuple) else (member,)


def _check(value: Any, name: str) -> None:
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        return
    number(name, value, least=0.0)
    if name == "momentum" and value >= 1:
        raise ValueError(f"Argument `momentum` must be < 1. Received: momentum={value}")
