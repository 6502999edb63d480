"""From the records of all runs to the result of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from onecycle.comparison.measures import (
    baseline_target,
    choose_metric,
    choose_mode,
    mean_curves,
    measured_run,
    shared_metrics,
)
from onecycle.comparison.provenance import package_versions
from onecycle.comparison.runs import RunKey
from onecycle.comparison.verdicts import verdicts_by_arm
from onecycle.results.comparison import Comparison
from onecycle.results.runs import RunRecord

# The digests that the runs of a seed must share, and what it means if they do not.
PAIRED_DIGESTS = {
    "initial_weights": "initial weights (`build` does not depend on the seed alone)",
    "data": "data",
}


def comparison_from_records(
    records: Sequence[RunRecord],
    arms: tuple[str, ...],
    seeds: tuple[int, ...],
    *,
    metric: str | None = None,
    mode: str = "auto",
    target: float | None = None,
    margin: float | None = None,
    config: Mapping[str, object] | None = None,
    problems: Sequence[str] = (),
) -> Comparison:
    """Return the result of a comparison all of whose runs have ended.

    Args:
        records: The record of every arm with every seed.
        arms: Names of the arms, the baseline first.
        seeds: The seeds.
        metric: As in `compare`.
        mode: As in `compare`.
        target: As in `compare`.
        margin: As in `compare`.
        config: Settings of the comparison, as plain data.
        problems: Problems with the records, each a sentence.

    Raises:
        ValueError: If some run lacks the metric, or its direction cannot be inferred from its name.
    """
    metric = choose_metric(shared_metrics(records), metric)
    direction = choose_mode(metric, mode)
    target_from = "given before the runs"
    if target is None:
        baseline = [record for record in records if record.arm == arms[0]]
        target, target_from = baseline_target(baseline, metric, direction)
    runs = tuple(measured_run(record, metric, direction, target) for record in records)
    return Comparison(
        arms=arms,
        seeds=seeds,
        runs=runs,
        verdicts=verdicts_by_arm(runs, arms, direction, margin),
        metric=metric,
        mode=direction,
        target=target,
        target_from=target_from,
        margin=margin,
        curves=mean_curves(runs, arms, metric),
        config=dict(config or {}),
        problems=tuple(problems),
        versions=package_versions(),
    )


def pairing_problems(records: Mapping[RunKey, RunRecord], arms: Iterable[str], seeds: Sequence[int]) -> list[str]:
    """Return what makes the runs of a seed no fair pairs, each a sentence.

    Args:
        records: Key -> record, for all runs.
        arms: Names of the arms.
        seeds: The seeds.
    """
    arms = tuple(arms)
    problems = [
        f"With seed {seed} the arms did not have the same {meaning}, so their differences are not paired."
        for seed in seeds
        for name, meaning in PAIRED_DIGESTS.items()
        if len({records[arm, seed].config[name] for arm in arms}) > 1
    ]
    versions = {tuple(sorted(record.versions.items())) for record in records.values()}
    if len(versions) > 1:
        problems.append(
            f"The runs were made with {len(versions)} different sets of package versions, which each record lists."
        )
    if len({"trained" in record.config for record in records.values()}) > 1:
        problems.append(
            "Some runs were trained in one compiled program and others one by one, so their seconds cannot be compared."
        )
    return problems
