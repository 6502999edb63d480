"""`onecycle fit`: a 1cycle training of a person's own model on their own data."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onecycle.commands.subject import Subject


@dataclass(frozen=True)
class Fitted:
    """A training: the cycle's peak and why it was taken, epochs, seconds, and each metric after each epoch.

    Where Ctrl-C ended it early, `epochs` is below `epochs_asked`, and a peak that was to be found is None.
    """

    max_learning_rate: float | None
    reason: str
    epochs: int
    epochs_asked: int
    seconds: float
    history: dict[str, list[float | None]]
    model: Any = field(repr=False)

    @property
    def interrupted(self) -> bool:
        """Whether it was ended early."""
        return self.epochs < self.epochs_asked

    def interruption(self) -> str:
        """Return a sentence on how far an interrupted training came."""
        return f"Interrupted after {self.epochs} of {self.epochs_asked} epochs."

    def facts(self) -> dict[str, Any]:
        """Return all but the model, as JSON can hold it."""
        names = "max_learning_rate", "reason", "epochs", "epochs_asked", "seconds", "history"
        return {name: getattr(self, name) for name in names}

    def summary(self) -> str:
        """Return two sentences: the peak and why, how long it trained and where each metric ended."""
        ends = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items() if values[-1] is not None)
        peak = "" if self.max_learning_rate is None else f" {self.max_learning_rate:.3g}"
        return (
            f"Maximum learning rate{peak}: {self.reason.rstrip('.')}.\n"
            f"Trained {self.epochs} epochs in {self.seconds:.1f} s; at the end: {ends}."
        )

    def write(self, *, save: Path | None, plot: Path | None, model: Path | None) -> list[Path]:
        """Write facts as JSON, the loss as a picture and the model as Keras saves it, where asked for; return where."""
        if save is not None:
            save.write_text(json.dumps(self.facts(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        if plot is not None:
            from onecycle.plot import plot_training_curves, save_figure

            save_figure(plot_training_curves({"1cycle": self.history}, "loss"), plot)
        if model is not None:
            self.model.save(model)
        return [path for path in (save, plot, model) if path is not None]


def fit(
    subject: Subject,
    *,
    epochs: int,
    max_learning_rate: float | None,
    batch_size: int | None,
    seed: int | None,
    verbose: int | str,
) -> Fitted:
    """Train the subject's model in place."""
    import keras

    import onecycle

    if seed is not None:
        keras.utils.set_random_seed(seed)
    started = time.perf_counter()
    peak = "auto" if max_learning_rate is None else max_learning_rate
    before = getattr(subject.model, "history", None)
    try:
        history = onecycle.fit_one_cycle(
            subject.model, subject.x, subject.y, epochs=epochs, max_learning_rate=peak, batch_size=batch_size,
            seed=seed, verbose=verbose,
        )  # fmt: skip
    except KeyboardInterrupt:
        history = subject.model.history
        if history is before or not history.epoch:
            raise  # nothing is finished
        onecycle.unschedule_hyperparameters(subject.model)
    return Fitted(
        **_peak(getattr(history, "onecycle", None), max_learning_rate),
        epochs=len(history.epoch),
        epochs_asked=epochs,
        seconds=round(time.perf_counter() - started, 3),
        history={name: [finite(value) for value in values] for name, values in history.history.items()},
        model=subject.model,
    )


def _peak(report: Any, given: float | None) -> dict[str, Any]:
    """The cycle's peak and why it was taken, from the cycle's report, which an interrupted one does not have."""
    if report is None or report.reason is None:
        return {
            "max_learning_rate": given,
            "reason": "not reported, for it was interrupted" if given is None else "it was given",
        }
    return {"max_learning_rate": report.max_learning_rate, "reason": report.reason}


def finite(value: float) -> float | None:
    """Return the number, or None for NaN and infinities, which JSON does not have."""
    return float(value) if math.isfinite(value) else None
