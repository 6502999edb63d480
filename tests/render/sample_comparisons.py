"""Comparisons for plots and reports: a usual one, and many with missing or extreme values."""

import numpy as np

from onecycle.comparison.measures import mean_curves, measured_run
from onecycle.comparison.verdicts import verdicts_by_arm
from onecycle.results import Comparison, RunRecord

NAN = float("nan")


def record(arm, seed, values, *, diverged=None, finder_steps=0, samples=True):
    """Return the record of a run whose metric has these values after each epoch."""
    epochs = range(1, len(values) + 1)
    finder = {"steps": finder_steps, "seconds": 0.5, "learning_rate": 0.1, "reason": "Seen."} if finder_steps else {}
    return RunRecord(
        arm=arm,
        seed=seed,
        identity="1",
        config={"batch_size": 10},
        history={"val_accuracy": list(values), "loss": [1 / n for n in epochs]},
        steps=[10 * n for n in epochs],
        samples=[100 * n for n in epochs] if samples else [],
        seconds=[float(n) for n in epochs],
        finder=finder,
        diverged=diverged,
        versions={},
        machine={},
    )


def comparison(records, *, mode="max", target=0.9, margin=None):
    """Return the comparison of these runs. The arms are in the order in which they first occur."""
    arms = tuple(dict.fromkeys(record.arm for record in records))
    runs = tuple(measured_run(record, "val_accuracy", mode, target) for record in records)
    return Comparison(
        arms=arms,
        seeds=tuple(dict.fromkeys(record.seed for record in records)),
        runs=runs,
        verdicts=verdicts_by_arm(runs, arms, mode, margin),
        metric="val_accuracy",
        mode=mode,
        target=target,
        target_from="given",
        margin=margin,
        curves=mean_curves(runs, arms, "val_accuracy"),
    )


def rising_curve(seed, *, epochs=10, speed=1.0, top=0.95):
    """Return a noisy metric that rises to its top."""
    draws = np.random.default_rng(seed)
    return (top - 0.5 * np.exp(-speed * np.arange(1, epochs + 1) / 3) + draws.normal(0, 0.002, epochs)).tolist()


def three_arms(seeds=8):
    """Return a comparison of a slow baseline, a short and fast arm with a finder, and an arm like the baseline."""
    records = []
    for seed in range(seeds):
        records.append(record("plain", seed, rising_curve(seed)))
        records.append(record("cycle", seed, rising_curve(50 + seed, epochs=6, speed=3), finder_steps=12))
        records.append(record("other", seed, rising_curve(90 + seed)))
    return comparison(records, margin=0.01)


def with_diverged_runs():
    """Return a comparison in which one run of the second arm ends in NaN, and one has no finite value."""
    records = [record("plain", seed, rising_curve(seed)) for seed in range(6)]
    records += [record("diverging", seed, rising_curve(seed, speed=2)) for seed in range(4)]
    records += [record("diverging", 4, [0.5, 0.6, NAN], diverged=3), record("diverging", 5, [NAN], diverged=1)]
    return comparison(records)


def two_arms(values, *, seeds=6, **fields):
    """Return the records of two equal arms; `values` is a function of the seed."""
    return [record(arm, seed, values(seed), **fields) for arm in "ab" for seed in range(seeds)]


COMPARISONS = {
    "pretty": three_arms(),
    "one seed": three_arms(seeds=1),
    "two seeds": three_arms(seeds=2),
    "one arm": comparison([record("plain", seed, rising_curve(seed)) for seed in range(3)]),
    "diverged": with_diverged_runs(),
    "all NaN": comparison(two_arms(lambda seed: [NAN, NAN], diverged=2)),
    "one epoch": comparison(two_arms(lambda seed: [0.5 + seed / 100])),
    "constant": comparison(two_arms(lambda seed: [0.5, 0.5]), margin=0.1),
    "no target": comparison(two_arms(rising_curve), target=NAN),
    "no samples": comparison(two_arms(rising_curve, samples=False)),
    "falling": comparison(
        [record(arm, seed, [1 / n + seed / 99 for n in range(1, 9)]) for arm in "abcdef" for seed in range(6)],
        mode="min",
        target=0.3,
    ),
}
