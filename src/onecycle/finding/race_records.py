"""A candidate of a race as plain values and arrays, which a file can hold and another process can go on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onecycle.finding.race_fits import RaceFits
from onecycle.finding.race_member import RaceMember
from onecycle.keras_support.partial_fit import EpochStart, PausedFit
from onecycle.keras_support.portable_pause import PortableData, PortableRandom, PortableVariables
from onecycle.training.backups.files import Backup


def member_record(member: RaceMember, fits: RaceFits) -> Backup:
    """Return what a candidate is at a cut or at its end.

    Args:
        member: The candidate, whose pauses are portable.
        fits: What trains the candidates.
    """
    record: dict[str, Any] = {
        "steps": member.steps,
        "scores": [[cut, score] for cut, score in member.scores.items()],
        "history": member.history,
        "curve": [list(point) for point in member.curve],
        "epoch_sums": list(member.epoch_sums),
        "first_epoch": None if fits.epoch_start is None else _start_record(fits.epoch_start),
    }
    paused = member.paused
    if paused is not None and isinstance(paused.variables, PortableVariables):
        record["pause"] = {
            "epoch": paused.epoch,
            "batches": paused.batches,
            "epoch_start": _start_record(paused.epoch_start),
            "random": _values(paused.random),
            **_variables_record(paused.variables, member),
        }
        return Backup(member.steps, record, list(paused.variables.arrays))
    if isinstance(member.final, PortableVariables):
        record["end"] = _variables_record(member.final, member)
        return Backup(member.steps, record, list(member.final.arrays))
    return Backup(member.steps, record, [])


def load_member(member: RaceMember, found: Backup, fits: RaceFits) -> None:
    """Give a candidate what it is in a record.

    Args:
        member: The candidate.
        found: What `member_record` returned.
        fits: What trains the candidates.
    """
    record = found.record
    member.steps = record["steps"]
    member.scores = dict(record["scores"])
    member.history = {name: list(values) for name, values in record["history"].items()}
    member.curve = [(step, loss) for step, loss in record["curve"]]
    batches, total = record["epoch_sums"]
    member.epoch_sums = (batches, total)
    if fits.epoch_start is None and record["first_epoch"] is not None:
        fits.epoch_start = _epoch_start(record["first_epoch"], fits)
    member.paused = None
    pause, end = record.get("pause"), record.get("end")
    if pause is not None:
        variables = _variables(pause, found, member, fits)
        start, random = _epoch_start(pause["epoch_start"], fits), PortableRandom(pause["random"])
        member.paused = PausedFit(pause["epoch"], pause["batches"], start, variables, random)
    if end is not None:
        member.finished, member.final = True, _variables(end, found, member, fits)


def _variables_record(variables: PortableVariables, member: RaceMember) -> dict[str, Any]:
    return {"foreign": variables.foreign, "metrics": variables.metrics, "average": list(member.average)}


def _variables(record: Mapping[str, Any], found: Backup, member: RaceMember, fits: RaceFits) -> PortableVariables:
    step, values = record["average"]
    member.average = (step, list(values))
    return PortableVariables(fits.model, found.arrays, record["foreign"], record["metrics"])


def _epoch_start(record: Mapping[str, Any], fits: RaceFits) -> EpochStart:
    return EpochStart(PortableRandom(record["random"]), PortableData(fits.data, record["data"]))


def _start_record(start: EpochStart) -> dict[str, Any]:
    return {"random": _values(start.random), "data": _values(start.data)}


def _values(state: object) -> Any:
    assert isinstance(state, PortableRandom | PortableData)
    return state.values
