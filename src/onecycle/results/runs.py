"""The runs of a comparison: the record of each run, and the record together with what was measured from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from onecycle.results import codec

# The measures of a run, in the order of the table. Times are times to the target and include the finder's cost.
METRIC_MEASURES = ("final", "best", "loss")
TIMES = ("steps", "epochs", "samples", "seconds")
MEASURES = (*METRIC_MEASURES, *TIMES)


@codec.storable
@dataclass(frozen=True)
class RunRecord:
    """One run, as stored in its file. The record depends neither on the other runs nor on the metric or the target.

    Attributes:
        arm: Name of the arm.
        seed: Seed of the run.
        identity: Hash of everything the run depends on. A record with another identity belongs to another run.
        config: Settings as plain data: those of the arm, `epochs`, `batch_size`, and digests of the data and of the
            initial weights.
        history: Metric name -> value after each epoch, as Keras reports it.
        steps: Training steps completed by the end of each epoch.
        samples: Samples trained on by the end of each epoch. Empty where they cannot be counted.
        seconds: Wall-clock time by the end of each epoch, including compilation, validation and the finder.
        finder: Cost of finding the rate, as `steps` and `seconds`, with `learning_rate` and `reason`. Empty if
            there was no search.
        diverged: Epoch, counted from 1, whose loss was NaN or infinite and after which training ended, or None.
        versions: Package name -> version.
        machine: Cores, processor and system, without the host name.
    """

    arm: str
    seed: int
    identity: str
    config: Mapping[str, Any]
    history: Mapping[str, list[float]]
    steps: list[int]
    samples: list[int]
    seconds: list[float]
    finder: Mapping[str, Any]
    diverged: int | None
    versions: Mapping[str, str]
    machine: Mapping[str, Any]


class MeasuredRun(TypedDict):
    """The fields of a `RunRecord` and the measures of the run, as `Comparison.runs` holds them.

    Attributes:
        final: Metric after the last epoch. NaN where the run diverged.
        best: Best value of the metric. NaN where the run diverged.
        loss: Loss after the last epoch, on validation data where there is any. NaN where the run diverged.
        reached: Whether the run reached the target.
        censored_at: Length of the run in steps, epochs, samples and seconds where it did not reach the target, or
            None if it did.
        steps_to_target: Training steps to the target, the finder's included. This and the other times to the target
            are None if the run did not reach it.
        epochs_to_target: Epochs to the target. The finder's steps count as a fraction of an epoch.
        samples_to_target: Samples read up to the target. None also where samples cannot be counted.
        seconds_to_target: Wall-clock seconds to the target.
    """

    arm: str
    seed: int
    identity: str
    config: Mapping[str, Any]
    history: Mapping[str, list[float]]
    steps: list[int]
    samples: list[int]
    seconds: list[float]
    finder: Mapping[str, Any]
    diverged: int | None
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    final: float
    best: float
    loss: float
    reached: bool
    censored_at: Mapping[str, float | None] | None
    steps_to_target: float | None
    epochs_to_target: float | None
    samples_to_target: float | None
    seconds_to_target: float | None


# Spelled out, so that type checkers know the keys.
_TimeKey = Literal["steps_to_target", "epochs_to_target", "samples_to_target", "seconds_to_target"]

_TIME_KEYS: Mapping[str, _TimeKey] = {
    "steps": "steps_to_target",
    "epochs": "epochs_to_target",
    "samples": "samples_to_target",
    "seconds": "seconds_to_target",
}


def hardware_text(machine: Mapping[str, Any]) -> str:
    """Return a machine as a short text.

    Args:
        machine: The machine of a run, as in `RunRecord`.
    """
    devices = machine.get("devices") or ()
    accelerators = [str(device) for device in devices if not str(device).lower().startswith("cpu")]
    parts = [f"{machine.get('cores')} cores", machine.get("processor"), machine.get("system"), *accelerators]
    return ", ".join(str(part) for part in parts if part)


def finder_epochs(run: MeasuredRun | RunRecord) -> float:
    """Return the training steps of the search for a run's rate, in epochs of the run; 0 without a search."""
    finder, steps = (run.finder, run.steps) if isinstance(run, RunRecord) else (run["finder"], run["steps"])
    # Relative to the first epoch, since `steps` are cumulative.
    return float(finder.get("steps", 0) / max(steps[0], 1)) if finder and steps else 0.0


def time_to_target(run: MeasuredRun, measure: str) -> float | None:
    """Return the time a run took to reach the target, or None if it did not reach it.

    Args:
        run: A run of a comparison.
        measure: Unit of the time, one of `TIMES`.

    Raises:
        KeyError: If `measure` is not a time.
    """
    return run[_TIME_KEYS[measure]]


def time_or_length(run: MeasuredRun, measure: str) -> float | None:
    """Return the time a run took to reach the target, or the length of the run where it did not reach it.

    Args:
        run: A run of a comparison.
        measure: Unit of the time, one of `TIMES`.

    Returns:
        The time, which is a lower bound where the run did not reach the target; None if it cannot be counted.
    """
    if run["censored_at"] is not None:
        return run["censored_at"][measure]
    return time_to_target(run, measure)
