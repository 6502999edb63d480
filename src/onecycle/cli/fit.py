"""`onecycle fit`: training of the user's model with 1cycle."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onecycle.cli import console
from onecycle.cli.environment import check_output_files, select_backend
from onecycle.cli.options import AsJson, BackendChoice, BatchSize, Debug, PlotFile, ResultFile, Seed, UserFunction
from onecycle.cli.user_code import ModelAndData, check_batch_size, load_model_and_data

if TYPE_CHECKING:
    import keras

    from onecycle.results.cycle_report import CycleReport

# Training that ended with a loss higher by more than this part of the loss before it has failed.
WORSE_FRACTION = 0.5


def fit_command(
    function: UserFunction,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs, which is the length of the cycle.")] = 10,
    max_learning_rate: Annotated[
        float | None, typer.Option(help="Peak of the cycle. Default: the suggestion of a range test.")
    ] = None,
    batch_size: BatchSize = None,
    seed: Seed = None,
    backend: BackendChoice = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE.keras", dir_okay=False, help="Save the trained model.")
    ] = None,
    save: ResultFile = None,
    plot: PlotFile = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train your model with 1cycle.

    Ctrl-C ends training early. The requested files are still written, as far as training got. The exit code is 1 then,
    and also if training diverged.

    Example: `onecycle fit train.py:make --epochs 20 --model trained.keras`
    """
    with console.exit_codes(debug=debug):
        if max_learning_rate is not None:
            from onecycle.suggestions.arguments import check_learning_rate

            with console.options_named():
                check_learning_rate("max_learning_rate", max_learning_rate)
        check_output_files(save=save, plot=plot, model=model)
        with console.reserve_stdout(as_json=as_json):
            select_backend(backend)
            user = load_model_and_data(function, seed)
            check_batch_size(user, batch_size)
            outcome = train_with_one_cycle(
                user, epochs=epochs, max_learning_rate=max_learning_rate,
                batch_size=batch_size, seed=seed, verbose=console.keras_verbosity(as_json=as_json, epoch_lines=True),
            )  # fmt: skip
            written = outcome.write(save=save, plot=plot, model=model)
        console.print_result(outcome.summary(), outcome.facts(), as_json=as_json)
        if outcome.interrupted:
            typer.echo(outcome.interruption(written), err=True)
            raise typer.Exit(console.EXIT_FAILURE)
        if outcome.failure is not None:
            typer.echo(f"Error: {outcome.failure}", err=True)
            raise typer.Exit(console.EXIT_FAILURE)


@dataclass(frozen=True)
class FitOutcome:
    """A training run, finished or ended early with Ctrl-C.

    Attributes:
        max_learning_rate: Peak of the cycle. None if it was to be found and training ended early.
        reason: Where the peak comes from.
        epochs: Number of finished epochs.
        requested_epochs: Number of epochs to train.
        seconds: Wall time, with the range test.
        history: Metric name -> its value after each epoch; None for NaN and infinities.
        losses: Loss of some training rows before and after training; None where it is unknown.
        model: The trained model.
    """

    max_learning_rate: float | None
    reason: str
    epochs: int
    requested_epochs: int
    seconds: float
    history: dict[str, list[float | None]]
    losses: tuple[float | None, float | None]
    model: keras.Model = field(repr=False)

    @property
    def interrupted(self) -> bool:
        """Whether training ended early."""
        return self.epochs < self.requested_epochs

    @property
    def failure(self) -> str | None:
        """A sentence on training that diverged, or None."""
        first, last = self.losses
        remedy = "Lower --max-learning-rate, and look for NaN and for values on unusual scales in the data."
        bad = [epoch for epoch, loss in enumerate(self.history.get("loss", ()), start=1) if loss is None]
        if bad:
            return f"Training diverged: its loss was NaN or infinite in {len(bad)} of {self.epochs} epochs. {remedy}"
        if last is not None and not math.isfinite(last):
            return f"Training diverged: the loss of the trained model is NaN or infinite. {remedy}"
        # A short training may end on bad weights without divergence; then the mean over its last epoch is lower.
        mean = self.history.get("loss", [None])[-1]
        if first is None or last is None or mean is None:
            return None
        if min(last, mean) - first > WORSE_FRACTION * abs(first):
            return f"Training diverged: the loss was {first:.4g} before training and {last:.4g} after it. {remedy}"
        return None

    def interruption(self, written: list[Path]) -> str:
        """Describe how far training got and which files were written."""
        files = ", ".join(map(str, written))
        saved = f"Saved: {files}." if written else "Nothing was saved: use --save or --model."
        return f"Interrupted after {self.epochs} of {self.requested_epochs} epochs. {saved}"

    def facts(self) -> dict[str, object]:
        """Return everything but the model as JSON values."""
        return {
            "max_learning_rate": self.max_learning_rate,
            "reason": self.reason,
            "epochs": self.epochs,
            # The key in the output of version 0.1.0, kept for scripts that read it.
            "epochs_asked": self.requested_epochs,
            "seconds": self.seconds,
            "history": self.history,
        }

    def summary(self) -> str:
        """Return two lines of text: the peak and its reason, and the length and final metrics of training."""
        final = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items() if values[-1] is not None)
        peak = "" if self.max_learning_rate is None else f" {self.max_learning_rate:.3g}"
        return (
            f"Maximum learning rate{peak}: {self.reason.rstrip('.')}.\n"
            f"Trained {self.epochs} epochs in {self.seconds:.1f} s. Final values: {final}."
        )

    def write(self, *, save: Path | None, plot: Path | None, model: Path | None) -> list[Path]:
        """Write the requested files.

        Args:
            save: JSON file for the facts, or None.
            plot: Image file for the training loss, or None.
            model: Keras file for the model, or None.

        Returns:
            The files that were written.
        """
        if save is not None:
            from onecycle.results.codec import write_atomically

            write_atomically(save, json.dumps(self.facts(), indent=2, allow_nan=False) + "\n")
        if plot is not None:
            from onecycle.plot import plot_training_curves, save_figure

            save_figure(plot_training_curves({"1cycle": self.history}, "loss"), plot)
        if model is not None:
            self.model.save(model)
        return [path for path in (save, plot, model) if path is not None]


def train_with_one_cycle(
    user: ModelAndData,
    *,
    epochs: int,
    max_learning_rate: float | None,
    batch_size: int | None,
    seed: int | None,
    verbose: int,
) -> FitOutcome:
    """Train the user's model in place.

    Args:
        user: The model and its training data.
        epochs: Number of epochs.
        max_learning_rate: Peak of the cycle. None for the suggestion of a range test.
        batch_size: Batch size. None for 32, as in Keras.
        seed: Random seed, or None.
        verbose: As in `keras.Model.fit`.

    Returns:
        The outcome. Ctrl-C ends training after at least one finished epoch.

    Raises:
        KeyboardInterrupt: On Ctrl-C before the first epoch is finished.
    """
    import keras

    from onecycle import fit_one_cycle, unschedule_hyperparameters

    loss_before = _loss_of_sample(user)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    started = time.perf_counter()
    # Keras replaces the history when training begins.
    previous_history = getattr(user.model, "history", None)
    try:
        history = fit_one_cycle(
            user.model, user.x, user.y, epochs=epochs, batch_size=batch_size, seed=seed, verbose=verbose,
            max_learning_rate="auto" if max_learning_rate is None else max_learning_rate,
        )  # fmt: skip
    except KeyboardInterrupt:
        history = user.model.history
        # Nothing to save during the range test and the first epoch.
        if history is previous_history or not history.epoch:
            raise
        # So that the model is saved with a plain optimizer.
        unschedule_hyperparameters(user.model)
    peak, reason = _peak_and_reason(getattr(history, "onecycle", None), max_learning_rate)
    return FitOutcome(
        max_learning_rate=peak,
        reason=reason,
        epochs=len(history.epoch),
        requested_epochs=epochs,
        seconds=round(time.perf_counter() - started, 3),
        history={name: [console.finite_or_none(value) for value in values] for name, values in history.history.items()},
        losses=(loss_before, _loss_of_sample(user)),
        model=user.model,
    )


def _loss_of_sample(user: ModelAndData) -> float | None:
    """Return the loss of some training rows, or None where it is unknown."""
    from onecycle.keras_support.loss_outside_fit import sample_loss

    if not user.model.built:
        return None
    # What is wrong with the model or the data is an error of `fit`, which describes it.
    with suppress(Exception):
        return sample_loss(user.model, user.x, user.y)
    return None


def _peak_and_reason(report: CycleReport | None, given: float | None) -> tuple[float | None, str]:
    """Return the peak and where it comes from. A run ended early has no report."""
    if report is not None and report.reason is not None:
        return report.max_learning_rate, report.reason
    return given, "unknown, because training was interrupted" if given is None else "set with --max-learning-rate"
