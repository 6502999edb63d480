"""`onecycle fit`: training of the user's model with 1cycle."""

from __future__ import annotations

import time
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from onecycle.cli import console
from onecycle.cli.ctrl_c import CtrlC
from onecycle.cli.environment import check_backup_folder, check_can_be_saved, check_output_files, select_backend
from onecycle.cli.fit_outcome import FitOutcome, Written
from onecycle.cli.options import AsJson, BackendChoice, BatchSize, Debug, PlotFile, ResultFile, Seed, UserFunction
from onecycle.cli.user_code import ModelAndData, check_batch_size, check_function_name, load_model_and_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from keras.callbacks import History

    from onecycle.results import Race, RangeTest

    Peak: TypeAlias = float | str | RangeTest | Race

# What `fit_one_cycle` takes, by its name on the command line.
PICKERS = {"auto": "auto", "range-test": "range test"}


def fit_command(
    function: UserFunction,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs, which is the length of the cycle.")] = 10,
    max_learning_rate: Annotated[
        str,
        typer.Option(
            metavar="NUMBER|range-test|RESULT.json",
            help="Peak of the cycle: a number, how to find it, or the result that `find` or `race` saved.",
        ),
    ] = "range-test",
    batch_size: BatchSize = None,
    seed: Seed = None,
    backend: BackendChoice = None,
    backup_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Folder for a backup after each epoch. After an interruption, the same command continues the run. "
            "The folder is deleted when training has finished.",
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE.keras", dir_okay=False, help="Save the trained model.")
    ] = None,
    save: ResultFile = None,
    plot: PlotFile = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train your model with 1cycle.

    If your function returns validation data, it is evaluated after each epoch. Ctrl-C ends training at the end of a
    batch: the requested files are written, and the exit code is 130. The exit code is 1 if training diverged.

    Example: `onecycle fit train.py:make --epochs 20 --model trained.keras`
    """
    with console.exit_codes(debug=debug) as ctrl_c:
        peak = read_peak(max_learning_rate)
        check_output_files(save=save, plot=plot, model=model)
        if backup_dir is not None:
            check_backup_folder(backup_dir)
        check_function_name(function)
        with console.reserve_stdout(as_json=as_json):
            select_backend(backend)
            user = load_model_and_data(function, seed)
            check_batch_size(user, batch_size)
            if model is not None:
                check_can_be_saved(user.model)
            from onecycle import fit_one_cycle

            outcome = train_user_model(
                user, ctrl_c, partial(fit_one_cycle, epochs=epochs), epochs=epochs, max_learning_rate=peak,
                batch_size=batch_size, seed=seed, backup_dir=backup_dir, quiet=as_json,
            )  # fmt: skip
            written = outcome.write(save=save, plot=plot, model=model)
            if backup_dir is not None and outcome.backup is None and written.error is None:
                delete_backups(backup_dir)  # only now, since everything requested is written
        conclude(outcome, ctrl_c, written, save=save, model=model, as_json=as_json)


def read_peak(text: str) -> Peak:
    """Return the value of `--max-learning-rate` as `fit_one_cycle` takes it, or raise a `UsageError`."""
    from onecycle.suggestions.arguments import check_learning_rate

    if text in PICKERS:
        return PICKERS[text]
    if text == "race":
        raise console.UsageError(
            "A race trains the model itself: run `onecycle race MODULE:FUNCTION`, which takes --epochs, --model and "
            "--save too. Received: --max-learning-rate race"
        )
    with suppress(ValueError):
        number = float(text)
        with console.options_named():
            return check_learning_rate("max_learning_rate", number)
    if not Path(text).is_file():
        removed = "The sweep was removed; `onecycle race` finds better peaks. " if text == "sweep" else ""
        raise console.UsageError(
            "Option --max-learning-rate must be a number, range-test, or a file that `find` or `race` saved. "
            f"{removed}Received: --max-learning-rate {text}"
        )
    return _saved_result(Path(text))


def _saved_result(path: Path) -> Peak:
    from onecycle import load
    from onecycle.results import Race, RangeTest

    with console.value_errors_as_usage_errors():
        result = load(path)
        if not isinstance(result, RangeTest | Race):
            raise console.UsageError(f"{path} holds a {type(result).__name__}, which has no learning rate for a cycle.")
        result.learning_rate  # noqa: B018  # raises an error with the reason if there is none
    return result


def train_user_model(
    user: ModelAndData,
    ctrl_c: CtrlC,
    train: Callable[..., History],
    *,
    epochs: int,
    seed: int | None,
    backup_dir: Path | None,
    quiet: bool,
    **arguments: object,
) -> FitOutcome:
    """Train the user's model in place.

    Args:
        user: The model and its data.
        ctrl_c: The handler of Ctrl-C, which ends training at the end of a batch.
        train: `fit_one_cycle` or `fine_tune`.
        epochs: Number of epochs, in all phases.
        seed: Random seed, or None.
        backup_dir: Folder of the backup, or None.
        quiet: Whether to print nothing.
        **arguments: Other arguments of `train`.

    Raises:
        KeyboardInterrupt: On Ctrl-C before training begins, as in the search for the peak, and on a second one.
    """
    from onecycle.cli.fit_callbacks import PeakAnnouncement, StopOnCtrlC
    from onecycle.keras_support.random_state import seed_generators
    from onecycle.training.guard_run import DivergenceError
    from onecycle.training.reporting import numeric_columns

    loss_before = _loss_of_sample(user)
    if seed is not None:
        seed_generators(seed)
    started = time.perf_counter()
    stop = StopOnCtrlC(ctrl_c)
    announcement = PeakAnnouncement(typer.echo if not quiet else lambda line: None)
    divergence = None
    with warnings.catch_warnings():
        # Training ends early only after Ctrl-C here.
        warnings.filterwarnings("ignore", message="Training ended after", category=UserWarning)
        try:
            history = train(
                user.model, user.x, user.y, sample_weight=user.sample_weight, validation_data=user.validation_data,
                seed=seed, callbacks=[stop, announcement], backup_dir=backup_dir,
                verbose=console.keras_verbosity(as_json=quiet, lines=True), **arguments,
            )  # fmt: skip
        except DivergenceError as error:
            # The model has its best state again, which is still written.
            history, divergence = user.model.history, str(error)
    return FitOutcome(
        max_learning_rate=announcement.peak,
        reason=announcement.reason,
        epochs=stop.epochs if ctrl_c.received or divergence else epochs,
        requested_epochs=epochs,
        interrupted=ctrl_c.received,
        seconds=round(time.perf_counter() - started, 3),
        history={
            name: [console.finite_or_none(value) for value in values]
            for name, values in numeric_columns(history.history).items()
        },
        losses=(loss_before, _loss_of_sample(user)),
        guessing=_guessing_loss(user),
        report=getattr(history, "onecycle", None),
        model=user.model,
        backup=backup_dir if divergence or (ctrl_c.received and stop.epochs < epochs) else None,
        divergence=divergence,
    )


def conclude(
    outcome: FitOutcome, ctrl_c: CtrlC, written: Written, *, save: Path | None, model: Path | None, as_json: bool
) -> None:
    """Print the outcome of a training whose files are written, and exit as it ended."""
    console.print_result(outcome.summary(), outcome.facts(), as_json=as_json)
    if written.error is not None:
        raise written.error
    if ctrl_c.received:
        typer.echo(outcome.interruption(written.files), err=True)
        raise typer.Exit(console.EXIT_INTERRUPTED)
    if outcome.failure is not None:
        typer.echo(f"Error: {outcome.failure}", err=True)
        raise typer.Exit(console.EXIT_FAILURE)
    console.print_next(outcome.next_step(written.files, save=save, model=model), as_json=as_json)


def delete_backups(folder: Path) -> None:
    """Delete the backups of a finished run, and the folder."""
    from onecycle.training.backups.files import BackupFolder

    BackupFolder(folder).delete()


def _guessing_loss(user: ModelAndData) -> float:
    """Return the loss of a model that predicts the same for each row, or 0 where it is unknown."""
    from onecycle.keras_support.guessing import guessing_loss
    from onecycle.keras_support.guessing_targets import guessing_loss_of_targets

    return guessing_loss(user.model) or guessing_loss_of_targets(user.model, user.y)


def _loss_of_sample(user: ModelAndData) -> float | None:
    """Return the loss of some training rows, or None where it is unknown."""
    from onecycle.keras_support.loss_outside_fit import sample_loss

    if not user.model.built:
        return None
    # What is wrong with the model or the data is an error of `fit`, which describes it.
    with suppress(Exception):
        return sample_loss(user.model, user.x, user.y)
    return None
