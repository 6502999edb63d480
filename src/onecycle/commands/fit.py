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
    """A finished training: the cycle's peak and why it was taken, epochs, seconds, and each metric after each epoch."""

    max_learning_rate: float
    reason: str
    epochs: int
    seconds: float
    history: dict[str, list[float | None]]
    model: Any = field(repr=False)

    def facts(self) -> dict[str, Any]:
        """Return all but the model, as JSON can hold it."""
        return {name: getattr(self, name) for name in ("max_learning_rate", "reason", "epochs", "seconds", "history")}

    def summary(self) -> str:
        """Return two sentences: the peak and why, how long it trained and where each metric ended."""
        ends = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items() if values[-1] is not None)
        return (
            f"Maximum learning rate {self.max_learning_rate:.3g}: {self.reason.rstrip('.')}.\n"
            f"Trained {self.epochs} epochs in {self.seconds:.1f} s; at the end: {ends}."
        )

    def write(self, *, save: Path | None, plot: Path | None, model: Path | None) -> None:
        """Write the facts as JSON, the loss as a picture and the model as Keras saves it, each where asked for."""
        if save is not None:
            save.write_text(json.dumps(self.facts(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        if plot is not None:
            from onecycle.plot import plot_training_curves, save_figure

            save_figure(plot_training_curves({"1cycle": self.history}, "loss"), plot)
        if model is not None:
            self.model.save(model)


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
    history = onecycle.fit_one_cycle(
        subject.model,
        subject.x,
        subject.y,
        epochs=epochs,
        max_learning_rate="auto" if max_learning_rate is None else max_learning_rate,
        batch_size=batch_size,
        seed=seed,
        verbose=verbose,
    )
    report = history.onecycle
    return Fitted(
        max_learning_rate=report.max_learning_rate,
        reason="it was given" if report.range_test is None else report.range_test.suggestion.reason,
        epochs=len(history.epoch),
        seconds=round(time.perf_counter() - started, 3),
        history={name: [finite(value) for value in values] for name, values in history.history.items()},
        model=subject.model,
    )


def finite(value: float) -> float | None:
    """Return the number, or None for NaN and infinities, which JSON does not have."""
    return float(value) if math.isfinite(value) else None
