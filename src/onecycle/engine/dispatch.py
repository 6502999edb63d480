"""`train_members`: many short training runs of one model from its current state."""

from __future__ import annotations

import time
from collections.abc import Sequence

import keras

from onecycle.engine import program_cache
from onecycle.engine.choice import EngineChoice, choose_fit, choose_requested
from onecycle.engine.compiled_members import CompiledMembers
from onecycle.engine.eligibility import reason_not_compiled, reason_validation_not_compiled
from onecycle.engine.engine_output import EngineOutput
from onecycle.engine.fitted_members import seconds_per_fit_step, train_by_fit
from onecycle.engine.members import Member, MemberLike, MemberRuns, as_members
from onecycle.engine.shared_arguments import SharedFitArguments
from onecycle.keras_support import backends, training_data
from onecycle.keras_support.fit_start import build_model
from onecycle.keras_support.model_checks import check_model
from onecycle.keras_support.snapshot import preserving
from onecycle.keras_support.types import Nested
from onecycle.suggestions.arguments import check_choice, check_integer

ENGINES = ("auto", "compiled", "vmap", "scan", "fit")


class NotCompiled(ValueError):
    """Raised if a compiled program was requested, but cannot be made or would be slower than `fit`."""


def train_members(
    model: keras.Model,
    x: Nested,
    y: Nested = None,
    *,
    members: Sequence[MemberLike],
    epochs: int,
    batch_size: int | None = None,
    sample_weight: Nested = None,
    class_weight: dict[int, float] | None = None,
    validation_data: Nested = None,
    validate: str = "last",
    shuffle: bool = True,
    weights: bool = False,
    engine: str = "auto",
) -> MemberRuns:
    """Train a model several times from its current state, each time with another learning rate, schedule or data order.

    Each run equals a `fit` right after `keras.utils.set_random_seed(member.seed)`, with the member's learning rate and
    momentum. With arrays as data and Keras' standard training step, the runs are loops inside one compiled program,
    which later calls with the same shapes reuse. With large convolutions on a CPU, JAX calls a compiled step instead.

    - On JAX a trial decides whether to train all members at once or one after another.
    - On TensorFlow the members are trained one after another. The rows are read in another order than in `fit`, which
      shuffles inside `tf.data`.
    - On PyTorch the members are trained one after another, in an order of the rows that differs from `fit` too. The
      step is traced once and then runs without the Python code of Keras, if the model has no code but that of Keras,
      draws no numbers with seeds of its own, and there are enough steps to make up for the tracing.
    - In all other cases, the runs are calls of `fit`.

    The model, its optimizer and all random generators are restored afterwards.

    Args:
        model: A compiled model.
        x: Training data, as in `Model.fit`, except generators, which can be read only once.
        y: Targets, as in `fit`.
        members: For each run a `Member`, a tuple (learning_rate, momentum, seed) or a shorter one, or a learning rate.
        epochs: Number of epochs of each run, at least 1.
        batch_size: Rows per batch, as in `fit`. Defaults to 32 for arrays.
        sample_weight: Weights of the rows, as in `fit`.
        class_weight: Weights of the classes, as in `fit`.
        validation_data: Data to evaluate on, as in `fit`, or None.
        validate: `"last"` to evaluate after the last epoch, `"each"` to evaluate after every epoch.
        shuffle: Whether to shuffle the rows, as in `fit`.
        weights: Whether to return the weights of each run.
        engine: `"auto"`; `"compiled"` for the faster program, but not `fit`; or `"vmap"`, `"scan"` or `"fit"` to
            use this engine, see `MemberRuns`.

    Returns:
        The runs. A run whose loss is not finite stops and is marked as diverged; the others are unaffected.

    Raises:
        ValueError: If an argument is invalid, or if the engine cannot train this model.
        NotCompiled: If `engine="compiled"` and there is no program or `fit` is faster. Nothing has been trained then.
    """
    check_model(model)
    data = {"x": x, "y": y, "batch_size": batch_size, "sample_weight": sample_weight, "class_weight": class_weight}
    training_data.check_data(model, **data)
    _check_arguments(x, epochs, validate, engine)
    build_model(model, **data)
    checked_members = as_members(members, model)
    arguments = SharedFitArguments(
        **data,
        validation_data=validation_data,
        validation_freq=1 if validate == "each" else epochs,
        epochs=epochs,
        shuffle=shuffle,
    )
    # Before anything is trained, so that a request that cannot be met costs nothing.
    reason = reason_not_compiled(model, x, y, sample_weight) or reason_validation_not_compiled(validation_data)
    _check_engine(engine, reason)

    def run() -> tuple[EngineChoice, EngineOutput, float]:
        began = time.perf_counter()
        choice, output = _train(model, arguments, checked_members, engine, reason, weights)
        return choice, output, time.perf_counter() - began

    choice, output, seconds = preserving(model, run, data=(x, validation_data))
    # Restoring the model may have removed the optimizer variables that were made for the runs, and programs hold them.
    program_cache.limit_memory(model)
    return _member_runs(checked_members, choice, output, seconds)


def _check_arguments(x: Nested, epochs: int, validate: str, engine: str) -> None:
    check_choice("engine", engine, ENGINES)
    check_choice("validate", validate, ("last", "each"))
    check_integer("epochs", epochs)
    if training_data.is_one_shot(x):
        raise ValueError(
            "Argument `x` must be data that can be read again for each member. Received: a generator. "
            "Pass arrays or a data set."
        )


def _check_engine(engine: str, reason: str | None) -> None:
    """Raise if the requested engine cannot train the model for the given reason, the end of a sentence."""
    if engine == "vmap" and not backends.is_functional():
        # Only a pure function can be mapped over members.
        reason = reason or "programs of this backend cannot be vectorized over members"
    if reason and engine in ("compiled", "vmap", "scan"):
        error = NotCompiled if engine == "compiled" else ValueError
        raise error(f"Argument `engine` cannot be {engine!r} here: {reason}. Pass `engine='auto'`.")


def _train(
    model: keras.Model,
    arguments: SharedFitArguments,
    members: Sequence[Member],
    engine: str,
    reason: str | None,
    weights: bool,
) -> tuple[EngineChoice, EngineOutput]:
    """Choose the engine and train. `reason` says why no program can be compiled, or is None."""
    if reason or engine == "fit":
        choice = choose_fit(reason) if reason else choose_requested(engine)
        return choice, train_by_fit(model, arguments, members, weights=weights)
    compiled = CompiledMembers(model, members, arguments, "auto" if engine == "compiled" else engine)
    choice = compiled.choose(lambda: seconds_per_fit_step(model, arguments))
    if choice.engine != "fit":
        return choice, compiled.train(vectorized=choice.engine == "vmap", weights=weights)
    if engine == "compiled":
        raise NotCompiled(
            f"Argument `engine` cannot be 'compiled' here: `fit` was chosen. {choice.reason} Pass `engine='auto'`."
        )
    return choice, train_by_fit(model, arguments, members, weights=weights)


def _member_runs(members: tuple[Member, ...], choice: EngineChoice, output: EngineOutput, seconds: float) -> MemberRuns:
    masked = output.masked()
    return MemberRuns(
        members=members,
        losses=masked.losses,
        metrics=masked.metrics,
        validation=masked.validation,
        diverged_at=output.diverged_at,
        weights=output.weights,
        engine=choice.engine,
        reason=choice.reason,
        compile_seconds=output.compile_seconds,
        train_seconds=seconds - (output.compile_seconds or 0.0),
    )
