"""What `onecycle fit` prints and writes after training."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from onecycle.cli.environment import save_model

if TYPE_CHECKING:
    import keras

    from onecycle.results.cycle_report import CycleReport
    from onecycle.results.fine_tune_report import FineTuneReport

# Training that ended with a loss higher by more than this part of the loss before it has failed.
WORSE_FRACTION = 0.5
GUESSING_FRACTION = 0.05  # of the loss of guessing, below which a rise is no failure: a good model may start at 1e-8
SCHEDULED = ("learning_rate", "momentum")  # columns of the history that are no metrics


@dataclass(frozen=True)
class Written:
    """What became of the requested files.

    Attributes:
        files: Those that were written.
        error: The first error, or None.
    """

    files: list[Path]
    error: Exception | None


@dataclass(frozen=True)
class FitOutcome:
    """A training run, finished or ended early with Ctrl-C.

    Attributes:
        max_learning_rate: Peak of the cycle.
        reason: Where the peak comes from.
        epochs: Number of finished epochs, with those of the run that was continued.
        requested_epochs: Number of epochs to train.
        interrupted: Whether Ctrl-C came.
        seconds: Wall time, with the search for the peak.
        history: Metric name -> its value after each epoch, and at the point of an interruption within an epoch; None
            for NaN and infinities.
        losses: Loss of some training rows before and after training; None where it is unknown.
        guessing: Loss of a model that predicts the same for each row; 0 where it is unknown.
        report: The report of the cycle or cycles, or None if no epoch was left to train.
        model: The trained model.
        backup: Folder of the backup from which another run continues, or None if there is none.
        divergence: Why the guard gave up, or None.
    """

    max_learning_rate: float | None
    reason: str
    epochs: int
    requested_epochs: int
    interrupted: bool
    seconds: float
    history: dict[str, list[float | None]]
    losses: tuple[float | None, float | None]
    report: CycleReport | FineTuneReport | None = field(repr=False)
    model: keras.Model = field(repr=False)
    backup: Path | None = None
    divergence: str | None = None
    guessing: float = 0.0

    @property
    def failure(self) -> str | None:
        """A sentence on training that diverged, or None."""
        if self.divergence is not None:
            return self.divergence
        first, last = self.losses
        remedy = "Lower --max-learning-rate, and look for NaN and for values on unusual scales in the data."
        values = self.history.get("loss", [])
        bad = [epoch for epoch, loss in enumerate(values, start=1) if loss is None]
        if bad:
            return f"Training diverged: its loss was NaN or infinite in {len(bad)} of {len(values)} epochs. {remedy}"
        if last is not None and not math.isfinite(last):
            return f"Training diverged: the loss of the trained model is NaN or infinite. {remedy}"
        # A short training may end on bad weights without divergence; then the mean over its last epoch is lower.
        mean = values[-1] if values else None
        if first is None or last is None or mean is None:
            return None
        if min(last, mean) - first > max(WORSE_FRACTION * abs(first), GUESSING_FRACTION * self.guessing):
            return f"Training diverged: the loss was {first:.4g} before training and {last:.4g} after it. {remedy}"
        return None

    def interruption(self, written: list[Path]) -> str:
        """Describe how far training got, which files were written and how to go on."""
        files = ", ".join(map(str, written))
        if self.backup is not None and self.epochs:
            how = "Run the same command again to continue after the last finished epoch."
        else:
            how = "" if written else "Nothing was saved: use --model, --save or --backup-dir."
        saved = f"Saved: {files}." if written else ""
        return " ".join(
            filter(None, [f"Interrupted after {self.epochs} of {self.requested_epochs} epochs.", saved, how])
        )

    def facts(self) -> dict[str, object]:
        """Return everything but the model as JSON values."""
        return {
            "max_learning_rate": self.max_learning_rate,
            "reason": self.reason,
            "epochs": self.epochs,
            # The key in the output of version 0.1.0, kept for scripts that read it.
            "epochs_asked": self.requested_epochs,
            "interrupted": self.interrupted,
            "seconds": self.seconds,
            "history": self.history,
        }

    def summary(self) -> str:
        """Return the length and the final metrics of training in one line. The peak was printed before."""
        values = {name: values[-1] for name, values in self.history.items() if not name.startswith(SCHEDULED)}
        final = ", ".join(f"{name} {value:.4g}" for name, value in values.items() if value is not None)
        return f"Trained {self.epochs} epochs in {self.seconds:.1f} s. " + (f"Final values: {final}." if final else "")

    def write(self, *, save: Path | None, plot: Path | None, model: Path | None) -> Written:
        """Write the requested files.

        Args:
            save: JSON file for the report, or None.
            plot: Image file for the training loss, or None.
            model: Keras file for the model, or None.

        Returns:
            The files that were written, and the first error: each is tried whatever became of the others. Without a
            report there is no file for it, unless the guard gave up: then it has the history alone. Without a loss
            there is no image.
        """
        has_report = self.report is not None or self.divergence is not None
        requested = (
            (model, partial(save_model, self.model)),
            (save if has_report else None, self._save_report),
            (plot if self.history.get("loss") else None, self._plot_loss),
        )
        written, errors = [], []
        for path, write in requested:
            if path is None:
                continue
            try:
                write(path)
                written.append(path)
            except Exception as error:  # noqa: BLE001  # raised when all is written and printed
                errors.append(error)
        return Written(written, errors[0] if errors else None)

    def next_step(self, written: list[Path], *, save: Path | None, model: Path | None) -> str:
        """Return the step to take after training."""
        return step_after_training(save if save in written else None, model)

    def _save_report(self, path: Path) -> None:
        from onecycle.results.codec import save_object, write_atomically

        # With the keys that version 0.1.0 wrote, for scripts that read them.
        if self.report is not None:
            save_object(self.report, path, beside=self.facts())
        else:
            write_atomically(path, json.dumps(self.facts(), indent=1, allow_nan=False) + "\n")

    def _plot_loss(self, path: Path) -> None:
        from onecycle.plot import plot_training_curves, save_figure

        curves = {"training": "loss", "validation": "val_loss"}
        runs = {label: self.history[name] for label, name in curves.items() if self.history.get(name)}
        save_figure(plot_training_curves(runs, "loss"), path)


def step_after_training(saved: Path | None, model: Path | None) -> str:
    """Return the step to take after a training whose result and whose model are in these files."""
    if model is not None:
        return f'in Python, `model = keras.saving.load_model("{model}")`'
    if saved is not None:
        return f"`onecycle report {saved}` for a page with the cycle and the curves"
    return "the same command with `--model trained.keras`, which keeps the trained model"
