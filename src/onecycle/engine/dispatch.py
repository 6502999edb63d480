"""`train_members`: many short runs of one model from where it is, which stays there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from onecycle.engine import program_cache
from onecycle.engine.choice import Choice, refused
from onecycle.engine.compiled_members import CompiledMembers
from onecycle.engine.eligibility import unsuited
from onecycle.engine.fitted_members import fitted, seconds_of_fit
from onecycle.engine.members import Array, Member, MemberRuns, checked, diverged_at
from onecycle.keras_support import compilation, training_data
from onecycle.keras_support.optimizers import require_compiled
from onecycle.keras_support.snapshot import preserved
from onecycle.keras_support.train_function import training_arrays
from onecycle.suggestions.arguments import count, one_of

ENGINES = ("auto", "compiled", "vmap", "scan", "fit")


class NotCompiled(ValueError):
    """A compiled program was asked for, and there can be none or it would be slower than `fit`."""


def train_members(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    members: Sequence[Any],
    epochs: int,
    batch_size: int | None = None,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    validation_data: Any = None,
    validate: str = "last",
    shuffle: bool = True,
    weights: bool = False,
    engine: str = "auto",
) -> MemberRuns:
    """Train a model several times from where it is now: each time with another learning rate, schedule or data order.

    Each run is what `fit` would have done right after `keras.utils.set_random_seed(member.seed)`, with the member's
    learning rate and momentum in force. With arrays in memory and a model that trains in Keras' own way the runs are
    loops inside one compiled program, which later calls with the same shapes use again: on JAX it is found out by
    trying whether all members at once or one after the other is faster; on TensorFlow they are trained one after the
    other, the rows in another order than that of `fit`, which shuffles inside `tf.data`. Anywhere else they are calls
    of `fit`. The model, its optimizer and all random generators are left as they were.

    Args:
        model: A compiled model.
        x: Training data as `Model.fit` takes them; no generator, which could be read only once.
        y: Targets, as in `fit`.
        members: For each run a `Member`, a tuple (learning_rate, momentum, seed) or the beginning of one, or a rate.
        epochs: Epochs of each run, at least 1.
        batch_size: As in `fit`; 32 for arrays.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        validation_data: As in `fit`, or None.
        validate: `"last"`: after the last epoch; `"each"`: after every epoch.
        shuffle: As in `fit`.
        weights: Whether to return each member's weights.
        engine: `"auto"`; `"compiled"` for whichever program is faster, but no `fit`; or `"vmap"`, `"scan"` or `"fit"`
            to have that one.

    Returns:
        A `MemberRuns`. A member whose loss is not finite is marked, trains no further and troubles no other.

    Raises:
        ValueError: For bad arguments, or an engine that cannot train this model.
        NotCompiled: With `"compiled"`, before any training, where there is no program or `fit` is faster.
    """
    require_compiled(model)
    _check(x, y, batch_size, epochs, validate, engine)
    training_data.build(model, x, y, batch_size)
    found = checked(members, model)
    why_not = unsuited(model, x, y) or _unsuited_validation(validation_data)
    if why_not and engine == "compiled":
        raise NotCompiled(why_not)
    if engine == "vmap" and not compilation.are_functions():
        why_not = why_not or "this backend's programs cannot be mapped over members"
    if why_not and engine in ("vmap", "scan"):
        raise ValueError(f"Argument `engine` cannot be {engine!r} here: {why_not}. Pass `engine='auto'`.")
    fit = {
        "x": x,
        "y": y,
        "batch_size": batch_size,
        "sample_weight": sample_weight,
        "class_weight": class_weight,
        "validation_data": validation_data,
        "validation_freq": 1 if validate == "each" else epochs,
        "epochs": epochs,
        "shuffle": shuffle,
    }
    with preserved(model):
        began = time.perf_counter()
        choice, compiling, done = _trained(model, fit, found, why_not, engine, weights)
        seconds = time.perf_counter() - began - (compiling or 0.0)
    program_cache.release(model)
    losses, metrics, validation, ended = _without_diverged(done)
    return MemberRuns(
        members=found,
        losses=losses,
        metrics=metrics,
        validation=validation,
        diverged_at=ended,
        weights=done.weights,
        engine=choice.engine,
        reason=choice.reason,
        compile_seconds=compiling,
        train_seconds=seconds,
    )


def _check(x: Any, y: Any, batch_size: int | None, epochs: int, validate: str, engine: str) -> None:
    one_of("engine", engine, ENGINES)
    one_of("validate", validate, ("last", "each"))
    count("epochs", epochs)
    training_data.check(x, y, batch_size)
    if training_data.is_one_shot(x):
        raise ValueError("Argument `x` must be data that can be read again. Received: a generator")


def _trained(
    model: Any, fit: dict[str, Any], members: tuple[Member, ...], why_not: str | None, engine: str, weights: bool
) -> tuple[Choice, float | None, Any]:
    """The engine that was chosen, the seconds that compiling took, and what came of it."""
    if why_not or engine == "fit":
        choice = refused(why_not) if why_not else Choice("fit", "It was asked for.")
        return choice, None, fitted(model, fit, members, weights=weights)
    compiled = _compiled(model, fit, members, "auto" if engine == "compiled" else engine)
    choice = compiled.choose(lambda: seconds_of_fit(model, fit))
    if choice.engine == "fit":
        if engine == "compiled":
            raise NotCompiled(choice.reason)
        return choice, None, fitted(model, fit, members, weights=weights)
    done = compiled.train(choice.engine == "vmap", weights)
    return choice, done.compile_seconds, done


def _compiled(model: Any, fit: dict[str, Any], members: tuple[Member, ...], engine: str) -> CompiledMembers:
    validation = fit["validation_data"]
    if validation is not None:
        x, y, sample_weight = (*validation, None)[:3]
        validation = training_arrays(x, y, sample_weight, None)
    return CompiledMembers(
        model,
        training_arrays(fit["x"], fit["y"], fit["sample_weight"], fit["class_weight"]),
        members,
        epochs=fit["epochs"],
        batch_size=fit["batch_size"] or training_data.DEFAULT_BATCH_SIZE,
        validation=validation,
        each_epoch=fit["validation_freq"] == 1,
        shuffle=fit["shuffle"],
        engine=engine,
    )


def _without_diverged(done: Any) -> tuple[Array, dict[str, Array], dict[str, Array], tuple[int | None, ...]]:
    """Losses, metrics, validation and the steps of divergence, with NaN for whatever a member was after its own."""
    ended = diverged_at(done.losses)
    losses = done.losses.copy()
    metrics, validation = (
        {name: table.copy() for name, table in one.items()} for one in (done.metrics, done.validation)
    )
    for k, step in enumerate(ended):
        if step is None:
            continue
        losses[k, step + 1 :] = np.nan
        for table in (*metrics.values(), *validation.values()):
            table[k, step * table.shape[1] // losses.shape[1] :] = np.nan
    return losses, metrics, validation, ended


def _unsuited_validation(data: Any) -> str | None:
    if data is None:
        return None
    whole = isinstance(data, (tuple, list)) and len(data) in (2, 3) and all(map(training_data.is_arrays, data[:2]))
    return None if whole else "the validation data are not a tuple of arrays"
