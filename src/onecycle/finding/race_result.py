"""The result of a race, from its candidates."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.finding.race_candidates import RaceStart
from onecycle.finding.race_member import RaceMember
from onecycle.finding.race_rounds import Rounds
from onecycle.finding.race_training import RaceTraining
from onecycle.keras_support import backends, training_data
from onecycle.keras_support.optimizers import optimizer_names
from onecycle.keras_support.origin import origin_of
from onecycle.results.layer_rates import describe_layer_rates
from onecycle.results.race import Race
from onecycle.training.reporting import recorded_numbers

CURVE_POINTS = 200  # of a whole run


def race_result(
    model: keras.Model,
    training: RaceTraining,
    start: RaceStart,
    rounds: Rounds,
    winner: RaceMember,
    history: keras.callbacks.History,
) -> Race:
    """Return the result of a race.

    Args:
        model: The trained model.
        training: What the candidates shared.
        start: The candidates with which it began.
        rounds: The rounds, all over.
        winner: The candidate that was trained to the end.
        history: The winner's.
    """
    request, data, layer_rates = training.request, training.data, training.layer_rates
    members = sorted(rounds.members, key=lambda member: member.learning_rate)
    cuts = list(rounds.cut_steps)
    points, curves = _curves(members, rounds.total_steps)
    schedules = training.spec.with_peak(winner.learning_rate).schedules(model.optimizer, rounds.total_steps)
    return Race(
        learning_rates=np.array([member.learning_rate for member in members]),
        scores=np.array([[_finite(member.scores.get(cut)) for cut in cuts] for member in members]),
        cuts=np.array([rounds.cut_steps[cut] / rounds.total_steps for cut in cuts]),
        winner=members.index(winner),
        steps=np.array([member.steps for member in members]),
        reasons=tuple(_reason(rounds, member, winner) for member in members),
        curves=curves,
        curve_steps=points,
        monitor=rounds.judge.monitor,
        mode=rounds.judge.mode,
        history=recorded_numbers(history),
        cost=rounds.steps_spent / rounds.total_steps,
        range_test=start.range_test,
        total_steps=rounds.total_steps,
        held_out=data.description,
        note=" ".join(filter(None, (start.note, rounds.note))),
        seed=request.seed,
        config={
            "epochs": request.epochs,
            **({"candidates": request.candidates} if isinstance(request.candidates, int) else {}),
            "budget": request.budget,
            "schedule": type(schedules.learning_rate).__name__,
            "momentum": schedules.momentum_pair,
            "batch_size": training_data.known_batch_size(data.x, training.batch_size),
            "optimizer": optimizer_names(model.optimizer),
            "backend": backends.name(),
            "engine": rounds.trainer.engine,
            **({"layer_rates": describe_layer_rates(dict(layer_rates.described))} if layer_rates else {}),
        },
        versions=backends.versions(),
        origin=origin_of(model),
    )


def _reason(rounds: Rounds, member: RaceMember, winner: RaceMember) -> str:
    if member is not winner:
        return member.dropped
    others = [other for other in rounds.members if other is not winner]
    rivals = [
        (cut, other.scores[cut]) for other in others if not other.diverged for cut in rounds.cut_steps
        if cut in winner.scores and np.isfinite(other.scores.get(cut, np.nan))
    ]  # fmt: skip
    if not rivals:
        return "Won: all others diverged."
    last = max(cut for cut, _ in rivals)
    rival = min((score for cut, score in rivals if cut == last), key=rounds.judge.key)
    lead = f"val_{rounds.judge.monitor} {winner.scores[last]:.4g} at {100 * last:.0f} %, against {rival:.4g}"
    lost = [other for other in others if other.diverged and np.isfinite(other.scores.get(last, np.nan))]
    return f"Won: {lead}{'; those with which it went on diverged' if lost else ''}."


def _curves(members: Sequence[RaceMember], total_steps: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the points of the curves in steps, and the mean loss of each candidate up to each point."""
    ends = np.unique(np.linspace(0, total_steps, CURVE_POINTS + 1).round().astype(np.int64))[1:]
    read = np.unique([step for member in members for step, _ in member.curve] or [total_steps])
    # Each point is a step at which the losses were read.
    points = np.unique(read[np.minimum(np.searchsorted(read, ends), len(read) - 1)])
    curves = np.full((len(members), len(points)), np.nan)
    for row, member in zip(curves, members, strict=True):
        steps, losses = (np.array(column, dtype=np.float64) for column in zip(*member.curve, strict=True))
        bins = np.searchsorted(points, steps)
        weights = np.diff(steps, prepend=0)
        for point in np.unique(bins[np.isfinite(losses)]):
            inside = (bins == point) & np.isfinite(losses)
            row[point] = np.average(losses[inside], weights=weights[inside])
    return points, curves


def _finite(score: float | None) -> float:
    return float("nan") if score is None or not np.isfinite(score) else score
