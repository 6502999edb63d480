"""All seeds of an arm trained in one compiled program: JAX. The records are those of the runs one by one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from onecycle.comparison.arms import Arm
from onecycle.comparison.runs import Setting, begun, finder_facts, recorded
from onecycle.engine import Member, MemberRuns, NotCompiled, train_members
from onecycle.engine.eligibility import unsuited
from onecycle.keras_support import compilation, training_data
from onecycle.keras_support.optimizers import is_multi_optimizer, learning_rate_setting
from onecycle.keras_support.snapshot import preserved
from onecycle.results.comparison import RunRecord
from onecycle.results.range_test import RangeTest
from onecycle.results.sweep import Sweep


def trained_together(
    setting: Setting, arms: Mapping[str, Arm], tasks: Sequence[tuple[str, int]]
) -> Iterator[RunRecord]:
    """Yield the records of the runs that are better made in one program, arm by arm; the others are left to be made.

    That is every run of a comparison whose data and arms are all such that a program can train them, unless `fit`
    turns out to be faster; else none.
    """
    # Elsewhere a program's data order is not that of `fit`, and so not that of a run made by itself.
    if not compilation.read_rows_as_fit_does():
        return
    if not _shares_arrays(setting) or any(arm.callbacks is not None for arm in arms.values()):
        return
    # Those that look for a rate last: where there can be no program, that is known before the first test.
    for arm in sorted(arms.values(), key=lambda arm: arm.wish is not None and arm.wish.picks):
        seeds = [seed for name, seed in tasks if name == arm.name]
        if len(seeds) > 1:
            try:
                yield from _runs(setting, arm, seeds)
            except ValueError:  # NotCompiled; or what will be said of the one run that it is true of
                return


def _shares_arrays(setting: Setting) -> bool:
    if callable(setting.data):
        return False
    (_, y), validation = setting.data
    return y is not None and all(map(training_data.is_arrays, validation))


def _runs(setting: Setting, arm: Arm, seeds: Sequence[int]) -> list[RunRecord]:
    """Train an arm with all its seeds.

    The time of all is shared out evenly. What finding a rate takes is each seed's own.
    """
    (x, y), validation = setting.data
    starts, configs = zip(*(begun(setting, arm, seed, setting.data) for seed in seeds), strict=True)
    config = configs[0]
    why_not = unsuited(starts[0], x, y)
    if why_not or is_multi_optimizer(starts[0].optimizer):
        raise NotCompiled(why_not)
    began = time.perf_counter()
    planned = _planned(arm, starts, seeds, x, y, config)
    finding = [seconds for *_, seconds in planned]
    runs = train_members(
        starts[0], x, y,
        members=[member for member, *_ in planned], epochs=config["epochs"], batch_size=config["batch_size"],
        validation_data=validation, validate="each", engine="compiled",
    )  # fmt: skip
    share = (time.perf_counter() - began - sum(finding)) / len(seeds)
    rows = len(keras.tree.flatten(x)[0])
    records = []
    for k, (seed, own, (_, evidence, _)) in enumerate(zip(seeds, configs, planned, strict=True)):
        history, diverged = _history(runs, k)
        epochs = range(1, len(history["loss"]) + 1)
        records.append(recorded(
            setting, arm, seed, own | {"trained": f"{len(seeds)} seeds together: {runs.reason}"}, history,
            steps=[epoch * -(-rows // config["batch_size"]) for epoch in epochs],
            samples=[epoch * rows for epoch in epochs],
            seconds=[finding[k] + share * epoch / config["epochs"] for epoch in epochs],
            finder=finder_facts(evidence, finding[k]),
            diverged=diverged,
        ))  # fmt: skip
    return records


def _planned(
    arm: Arm, starts: Sequence[Any], seeds: Sequence[int], x: Any, y: Any, config: Mapping[str, Any]
) -> list[tuple[Member, RangeTest | Sweep | None, float]]:
    """Each seed's member, what its peak rests on, and the seconds that it took to find.

    The rates are all found with the first model, given the weights of the others, so that one program does for all.
    """
    model, wish = starts[0], arm.wish
    steps = config["epochs"] * -(-len(keras.tree.flatten(x)[0]) // config["batch_size"])
    found: list[tuple[Member, RangeTest | Sweep | None, float]] = []
    with preserved(model):
        for seed, start in zip(seeds, starts, strict=True):
            began = time.perf_counter()
            if wish is None:
                found.append((Member(_own_rate(model), seed=seed, start=start, skipped=1), None, 0.0))
                continue
            for variable, value in zip(model.variables, start.variables, strict=True):
                variable.assign(keras.ops.convert_to_numpy(value))
            options = {"batch_size": config["batch_size"], "seed": seed, "verbose": 0}
            evidence = wish.evidence(model, x, y, epochs=config["epochs"], **options)
            peak = wish.max_learning_rate if evidence is None else evidence.learning_rate
            rate, momentum, _ = wish.scheduler(peak).schedules(model.optimizer, steps)
            seconds = 0.0 if evidence is None else time.perf_counter() - began
            found.append((Member(rate, momentum, seed=seed, start=start, skipped=1), evidence, seconds))
    return found


def _own_rate(model: Any) -> Any:
    """The rate of a plain `fit`: the optimizer's schedule or number."""
    setting = learning_rate_setting(model.optimizer)
    return setting if callable(setting) else float(keras.ops.convert_to_numpy(setting))


def _history(runs: MemberRuns, k: int) -> tuple[dict[str, list[float]], int | None]:
    """A member's history as `fit` would have given it, and the epoch in which it diverged, where it ends."""
    columns = sorted(runs.metrics.items()), sorted(runs.validation.items())
    history = {
        f"{prefix}{name}": [float(value) for value in table[k]]
        for prefix, group in zip(("", "val_"), columns, strict=True)
        for name, table in group
    }
    lost = [epoch for epoch, loss in enumerate(history["loss"], 1) if not math.isfinite(loss)]
    if not lost:
        return history, None
    return {name: values[: lost[0]] for name, values in history.items()}, lost[0]
