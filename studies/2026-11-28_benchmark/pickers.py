"""The pickers that are judged, each with its cost in runs; see README.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
from earlier_study import other_pickers
from tasks import DEFAULT_RATES
from training import Runner, Weights

import onecycle

WHOLE_RUN = 1.0


@dataclass(frozen=True)
class Pick:
    """What a picker did.

    Attributes:
        rate: The picked peak, None if it refused or has none.
        cost: Training steps of picking, divided by those of a run. With weights, those of the training as well.
        reason: Why, as a sentence, or "".
        weights: The trained weights, if the picker trains itself. None if a whole run at `rate` follows.
    """

    rate: float | None
    cost: float
    reason: str = ""
    weights: Weights | None = None


Picker = Callable[[Runner, int], Pick]


def suggested(rule: str, runner: Runner, seed: int) -> Pick:
    """Pick with a rule of our range test."""
    found = onecycle.find_learning_rate(started(runner, seed), *runner.data.train, **common(runner, seed), plot=False)
    suggestion = found.suggestions[rule]
    return Pick(suggestion.learning_rate, found.training_steps / runner.steps, suggestion.reason)


def swept(runner: Runner, seed: int) -> Pick:
    """Pick with a sweep that is judged on the selection rows."""
    found = onecycle.sweep_learning_rates(
        started(runner, seed), *runner.data.train, epochs=runner.epochs, validation_data=runner.data.selection,
        **common(runner, seed),
    )  # fmt: skip
    return Pick(found.pick.learning_rate, found.cost, found.pick.reason)


def raced(candidates: int, runner: Runner, seed: int) -> Pick:
    """Train with a race that is judged on the selection rows; the winner is trained."""
    # A new model, since the race leaves the winner's optimizer state, from which later runs would start.
    model = runner.new_model(seed)
    race = onecycle.race_learning_rates(
        model, *runner.data.train, epochs=runner.epochs, candidates=candidates, validation_data=runner.data.selection,
        **common(runner, seed),
    )  # fmt: skip
    return Pick(race.learning_rate, race.cost, race.reason, list(model.get_weights()))


def other_rule(rule: str, runner: Runner, seed: int) -> Pick:
    """Pick with a rule of another project on its own ramp."""
    project = other_pickers.RULES[rule][0]
    losses = runner.ramp(other_pickers.RAMPS[project], seed)
    rate = other_pickers.picks(dict.fromkeys(other_pickers.RAMPS, losses))[rule]
    return Pick(rate, other_pickers.STEPS / runner.steps)


def default_rate(runner: Runner, seed: int) -> Pick:
    """Return the default learning rate of the optimizer, as the peak of the cycle."""
    return Pick(DEFAULT_RATES[runner.task.optimizer], 0.0)


def constant_default(runner: Runner, seed: int) -> Pick:
    """Train with the default learning rate of the optimizer, constant."""
    from onecycle.engine import Member

    rate = DEFAULT_RATES[runner.task.optimizer]
    trained = runner.train([Member(rate, seed=seed, start=runner.task.build(seed))])
    return Pick(rate, WHOLE_RUN, weights=trained.weights[0])


def with_peer(peer: str, runner: Runner, seed: int) -> Pick:
    """Train with an optimizer that needs no learning rate."""
    import peers

    weights = peers.train(runner.new_model(seed), runner.task, peers.PEERS[peer], runner.data.train, runner.steps, seed)
    return Pick(None, WHOLE_RUN, weights=weights)


def started(runner: Runner, seed: int) -> keras.Model:
    """Return the shared model with the initial state of a seed, so that its compiled programs serve all seeds."""
    for variable, fresh in zip(runner.model.variables, runner.task.build(seed).variables, strict=True):
        variable.assign(fresh.value)
    return runner.model


def common(runner: Runner, seed: int) -> dict[str, Any]:
    """Return the arguments that all our pickers take."""
    return {"batch_size": runner.task.batch_size, "seed": seed, "verbose": 0}


OURS: dict[str, Picker] = {
    "one_cycle": partial(suggested, "one_cycle"),
    "the article's tenth": partial(suggested, "blow_up"),
    "sweep": swept,
    "race of 2": partial(raced, 2),
    "race of 3": partial(raced, 3),
    "race of 4": partial(raced, 4),
}
OTHERS: dict[str, Picker] = {rule: partial(other_rule, rule) for rule in other_pickers.RULES}
DEFAULTS: dict[str, Picker] = {"default rate": default_rate, "default rate, constant": constant_default}


def pickers_for(optimizer: str) -> dict[str, Picker]:
    """Return the pickers of the tasks with an optimizer; a peer is judged on tasks of its own family."""
    import peers

    of_family = [name for name, peer in peers.PEERS.items() if optimizer in peer.optimizers]
    return OURS | OTHERS | DEFAULTS | {name: partial(with_peer, name) for name in of_family}
