"""All results for reports, and the same results with names that attack the page."""

import dataclasses

from render.sample_batch_sizes import BATCH_SIZES
from render.sample_comparisons import COMPARISONS
from render.sample_cycles import CYCLES
from render.sample_findings import FINDINGS
from render.sample_fine_tunings import FINE_TUNINGS
from render.sample_races import RACES
from render.sample_range_tests import RANGE_TESTS

from onecycle.results import Finding, Findings
from onecycle.suggestions import Suggestion

RESULTS = {
    **RANGE_TESTS,
    **{f"comparison, {name}": result for name, result in COMPARISONS.items()},
    **{f"race, {name}": result for name, result in RACES.items()},
    **{f"cycle, {name}": result for name, result in CYCLES.items()},
    **{f"fine-tuning, {name}": result for name, result in FINE_TUNINGS.items()},
    **{f"batch size, {name}": result for name, result in BATCH_SIZES.items()},
    **{f"findings, {name}": result for name, result in FINDINGS.items()},
}
HOSTILE = "</script><script>alert(1)</script>"
HOSTILE_NAMES = (
    HOSTILE,
    "<!-- <img src=x onerror=alert(1)> \u2028",
    '" onfocus="alert(1)" autofocus="',
    "&lt;b&gt; @blue %{x}",
)


def with_arms_named(result, names):
    """Return a comparison whose arms have other names."""
    renamed = dict(zip(result.arms, names, strict=False))
    return dataclasses.replace(
        result,
        arms=tuple(renamed.values()),
        runs=tuple({**run, "arm": renamed[run["arm"]]} for run in result.runs),
        verdicts={renamed[arm]: verdicts for arm, verdicts in result.verdicts.items()},
        curves={renamed[arm]: curves for arm, curves in result.curves.items()},
    )


def hostile_results():
    """Return a result of each kind in which every text is an attack."""
    comparison = with_arms_named(COMPARISONS["pretty"], HOSTILE_NAMES)
    comparison = dataclasses.replace(
        comparison,
        config={"arms": {arm: {"optimizer": HOSTILE} for arm in comparison.arms}, HOSTILE: HOSTILE},
        problems=(HOSTILE,),
        target_from=HOSTILE,
        versions={HOSTILE: HOSTILE},
    )
    range_test = dataclasses.replace(
        RANGE_TESTS["pretty"],
        suggestions={name: Suggestion(0.1, HOSTILE) for name in HOSTILE_NAMES},
        rule=HOSTILE,
        optimizer=HOSTILE,
        versions={HOSTILE: HOSTILE},
    )
    race = dataclasses.replace(
        RACES["pretty"],
        reasons=(HOSTILE,) * 3,
        held_out=HOSTILE,
        note=HOSTILE,
        monitor=HOSTILE,
        config={"epochs": HOSTILE, HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
    )
    cycle = dataclasses.replace(CYCLES["range test"], schedule=HOSTILE, evidence=range_test)
    tuning = dataclasses.replace(
        FINE_TUNINGS["pretty"], cycle=cycle, head=HOSTILE_NAMES, frozen_normalizations=(HOSTILE,)
    )
    findings = Findings(
        (Finding(HOSTILE, HOSTILE, HOSTILE),), {HOSTILE: HOSTILE, "labels": "found"}, {HOSTILE: HOSTILE}
    )
    return [comparison, range_test, race, cycle, tuning, findings]


def harmless_results():
    """Return the results that `hostile_results` are made from."""
    samples = (COMPARISONS, RANGE_TESTS, RACES)
    others = [CYCLES["range test"], FINE_TUNINGS["pretty"], FINDINGS["one"]]
    return [*(results["pretty"] for results in samples), *others]
