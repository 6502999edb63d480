"""The runs of a comparison that need not be trained, since their records are in its folder already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onecycle.comparison.dry_run import DryRun
from onecycle.comparison.execution import ComparisonSetup
from onecycle.comparison.provenance import package_versions
from onecycle.comparison.runs import RunKey, SharedSettings
from onecycle.keras_support.origin import machine_description
from onecycle.results.runs import RunRecord

# The digests of a run's start: the key in the config of a record -> its description in a message.
DIGESTS = {"data": "data", "initial_weights": "initial weights"}


def reusable_records(
    setup: ComparisonSetup, keys: Sequence[RunKey], digests: Mapping[int, Mapping[str, str | None]]
) -> dict[RunKey, RunRecord]:
    """Return the records in the folder that belong to these runs. Records of other runs are moved aside.

    The identity of a record contains the source of `build` and `data`, but not what else these functions read, such as
    a global variable or a file. So the digests of the data and of the initial weights they return now are compared with
    those in the records, for the first seed that has any. Only if these differ, every seed is checked.

    Args:
        setup: What the runs need.
        keys: The runs, in order.
        digests: Seed -> the digests of its start, for the seeds whose digests are known already.

    Returns:
        Key -> record.
    """
    store = setup.store
    if store is None:
        return {}
    with store.one_report():
        read = {key: store.read(*key, setup.settings.identity(setup.arms[key[0]], key[1])) for key in keys}
    records = {key: record for key, record in read.items() if record is not None}
    for key, changed in _changed_starts(setup.settings, records, digests).items():
        if _made_here(records[key]):
            store.set_aside(*key, f"was made from other {changed} than there are now.")
            del records[key]
        else:  # with other versions, or on another machine, the last bits of initial weights may differ
            store.problems.append(
                f"{store.path(*key).name} was made with other versions or on another machine, and from other {changed} "
                "than there are here now. It is used."
            )
    store.report_unknown_files({store.path(*key) for key in keys})
    return records


def _changed_starts(
    settings: SharedSettings, records: Mapping[RunKey, RunRecord], digests: Mapping[int, Mapping[str, str | None]]
) -> dict[RunKey, str]:
    """Return the runs whose data or initial weights have changed since their record was made, and what has changed."""
    changed: dict[RunKey, str] = {}
    for seed in dict.fromkeys(seed for _, seed in records):
        start = digests[seed] if seed in digests else _start_digests(settings, seed)
        different = {key: _different(records[key].config, start) for key in records if key[1] == seed}
        if any(different.values()):
            # A start that differs at each call says nothing about the records. `pairing_problems` reports it.
            unstable = _different(start, _start_digests(settings, seed))
            different = {key: [name for name in names if name not in unstable] for key, names in different.items()}
        if not any(different.values()):
            break
        changed |= {key: " and ".join(DIGESTS[name] for name in names) for key, names in different.items() if names}
    return changed


def _start_digests(settings: SharedSettings, seed: int) -> Mapping[str, str | None]:
    return DryRun.start(settings.build, settings.data, seed, settings.batch_size).digests


def _different(digests: Mapping[str, object], others: Mapping[str, object]) -> list[str]:
    return [name for name in DIGESTS if digests.get(name) != others.get(name)]


def _made_here(record: RunRecord) -> bool:
    return dict(record.machine) == machine_description() and dict(record.versions) == package_versions()
