"""How schedules are put into one optimizer and taken out again.

The optimizer's `apply` is wrapped on the instance. For the length of one step (of its trace, where it is compiled)
the numbers Keras reads, such as `optimizer.momentum`, are replaced by their values at the current step; before and
after it they are the optimizer's own, so that its config and whatever is saved stay those of a plain optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any
from weakref import WeakKeyDictionary

import keras

from onecycle.hyperparameters.bias_correction import BiasCorrection
from onecycle.hyperparameters.value_table import Lookup
from onecycle.keras_support import backends
from onecycle.keras_support.attributes import set_quietly, unset_quietly
from onecycle.keras_support.optimizers import own_learning_rate, raw_step

_KEY = "_onecycle_installation"
_INSTALLED = (_KEY, "apply", "_get_current_learning_rate")

_MOMENTUM_ATTRIBUTES = {
    "Muon": ("momentum", "adam_beta_1"),
    "SGD": ("momentum",),
    "RMSprop": ("momentum",),
    "Adam": ("beta_1",),
    "Nadam": ("beta_1",),
    "Adamax": ("beta_1",),
    "Lamb": ("beta_1",),
    "Lion": ("beta_1",),
}
# Nadam keeps the product of its betas itself; Lamb's step does not depend on the scale of its update.
_CORRECTED = ("Adam", "Adamax", "Muon")
_BRANCHES_ON_MOMENTUM = ("SGD", "RMSprop")

# Of each optimizer, whenever something was taken out: its updates by then, and the product of their betas.
_PASTS: WeakKeyDictionary[Any, list[tuple[int, float]]] = WeakKeyDictionary()


def install(optimizer: Any, plan: Mapping[str, Any]) -> None:
    """Let hyperparameters of one optimizer (no wrapper around others) follow schedules.

    Args:
        plan: `"learning_rate"`, `"momentum"`, `"weight_decay"` → a number or a schedule. What is installed already
            and not named again stays.
    """
    before = installed(optimizer)
    plan = {**(before.plan if before else {}), **plan}
    uninstall(optimizer)
    installation = Installation(optimizer, plan)
    set_quietly(
        optimizer,
        **{
            _KEY: installation,
            "apply": backends.uncompiled(installation.apply),
            "_get_current_learning_rate": installation.current_learning_rate,
        },
    )


def uninstall(optimizer: Any) -> bool:
    """Give one optimizer its own hyperparameters back; whether there was anything to take out."""
    installation = installed(optimizer)
    if installation is None:
        return False
    unset_quietly(optimizer, *_INSTALLED)
    past = installation.past()
    _PASTS[optimizer] = [earlier for earlier in _PASTS.get(optimizer, []) if earlier[0] < past[0]] + [past]
    return True


def installed_state(optimizer: Any) -> dict[str, Any]:
    """What onecycle keeps on one optimizer, to be put back by `reinstate`."""
    return {name: vars(optimizer)[name] for name in _INSTALLED if name in vars(optimizer)}


def reinstate(optimizer: Any, state: Mapping[str, Any]) -> None:
    """Put back what `installed_state` saw, in place of anything installed since."""
    unset_quietly(optimizer, *_INSTALLED)
    set_quietly(optimizer, **state)


def installed(optimizer: Any) -> Installation | None:
    """What is installed in one optimizer, if anything."""
    return vars(optimizer).get(_KEY)


def momentum_attributes(optimizer: Any) -> tuple[str, ...]:
    """What the optimizer calls its momentum: attribute names, none where it has none."""
    for name, attributes in _MOMENTUM_ATTRIBUTES.items():
        if _is_a(optimizer, name):
            return attributes
    return ()


class Installation:
    """The schedules of one optimizer, evaluated once a step and shared by all its variables."""

    def __init__(self, optimizer: Any, plan: Mapping[str, Any]) -> None:
        self.plan = dict(plan)
        self._optimizer = optimizer
        self._apply = optimizer.apply
        self._clock = _HostClock(optimizer._iterations)
        self._now: dict[str, Any] = {}
        self._depth = 0
        # What no step changes is settled here: on PyTorch all that follows is done in each of them.
        self._on_host = backends.evaluates_on_host()
        self._lookup = Lookup.of(self.plan)
        self._attributes = momentum_attributes(optimizer)
        self._branches = any(_is_a(optimizer, name) for name in _BRANCHES_ON_MOMENTUM)
        self._past = self._past_so_far()
        self._correction = self._bias_correction()

    def apply(self, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.apply` with this step's values in force."""
        now = self._values()
        self._enter(now)
        try:
            return self._apply(*args, **kwargs)
        finally:
            self._leave()
            self._clock.stepped()

    def current_learning_rate(self) -> Any:
        """What `optimizer.learning_rate` answers: the value in force, or the schedule's at the next step."""
        if "learning_rate" in self._now:
            return self._now["learning_rate"]
        return self._learning_rate(self._optimizer._iterations)

    def past(self) -> tuple[int, float]:
        """Updates made and the product of their betas, for the bias correction of a later installation."""
        updates = self._updates()
        if self._correction:
            return updates, self._correction.product(updates)
        first, product = self._past
        return updates, product * self._own_beta() ** (updates - first)

    def _enter(self, now: dict[str, Any]) -> None:
        # Under tf.distribute's MirroredStrategy several replicas are inside `apply` at once, taking turns.
        self._depth += 1
        self._now = now
        if self._depth == 1:
            self._own = {name: getattr(self._optimizer, name) for name in now if name != "learning_rate"}
        set_quietly(self._optimizer, **{name: now[name] for name in self._own})

    def _leave(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            set_quietly(self._optimizer, **self._own)
            self._now = {}

    def _own_value(self, name: str) -> Any:
        """A hyperparameter as the optimizer was built, also while another replica's values are in force."""
        return self._own[name] if self._depth and name in self._own else getattr(self._optimizer, name)

    def _values(self) -> dict[str, Any]:
        step = self._clock.step() if self._on_host else self._optimizer._iterations
        values = self._lookup.at(step) if self._lookup else {}
        if len(values) < len(self.plan):
            values |= {name: evaluate(value, step) for name, value in self.plan.items() if name not in values}
        now: dict[str, Any] = {}
        if "momentum" in values:
            momentum = values["momentum"]
            if self._branches:
                momentum = backends.answering_not_zero(momentum)
            now |= dict.fromkeys(self._attributes, momentum)
        if "weight_decay" in values:
            now |= dict.fromkeys(self._decay_attributes(), values["weight_decay"])
        if "learning_rate" in values:
            now["learning_rate"] = values["learning_rate"]
        return self._corrected(now, step, self._correction) if self._correction else now

    def _learning_rate(self, step: Any) -> Any:
        if "learning_rate" in self.plan:
            return evaluate(self.plan["learning_rate"], step)
        return own_learning_rate(self._optimizer)

    def _corrected(self, now: dict[str, Any], step: Any, correction: BiasCorrection) -> dict[str, Any]:
        """Scale Adam's step by the bias correction; its weight decay, in proportion to the rate, is scaled back."""
        beta = now[self._attributes[-1]]
        factor = correction.factor(step, beta, self._steps_per_update)
        if _is_a(self._optimizer, "Muon"):
            return now | {"adam_lr_ratio": self._own_value("adam_lr_ratio") * factor}
        rate = now["learning_rate"] if "learning_rate" in now else self._learning_rate(step)
        decay = now.get("weight_decay", self._own_value("weight_decay"))
        scaled = {"learning_rate": rate * factor}
        return now | scaled | ({} if decay is None else {"weight_decay": decay / factor})

    def _decay_attributes(self) -> tuple[str, ...]:
        return ("weight_decay", "adam_weight_decay") if _is_a(self._optimizer, "Muon") else ("weight_decay",)

    @property
    def _steps_per_update(self) -> int:
        return self._optimizer.gradient_accumulation_steps or 1

    def _bias_correction(self) -> BiasCorrection | None:
        if "momentum" not in self.plan or not any(_is_a(self._optimizer, name) for name in _CORRECTED):
            return None
        return BiasCorrection.of(
            lambda step: evaluate(self.plan["momentum"], step),
            start_step=getattr(self.plan["momentum"], "start_step", 0),
            own=self._own_beta(),
            past=self._past,
            steps_per_update=self._steps_per_update,
        )

    def _past_so_far(self) -> tuple[int, float]:
        """What earlier installations left, those left out behind which the counter has been set back since."""
        updates = self._updates()
        return max((past for past in _PASTS.get(self._optimizer, []) if past[0] <= updates), default=(0, 1.0))

    def _updates(self) -> int:
        return raw_step(self._optimizer) // self._steps_per_update

    def _own_beta(self) -> float:
        """The beta_1 (or momentum) the optimizer was built with; 0 where it has none."""
        attributes = momentum_attributes(self._optimizer)
        return float(getattr(self._optimizer, attributes[-1])) if attributes else 0.0


class _HostClock:
    """The step counter's value in Python, without reading the device each step (PyTorch).

    Whoever else writes the counter (a checkpoint, a rollback) is noticed by the count of writes, and it is read anew.
    """

    def __init__(self, counter: Any) -> None:
        self._counter = counter
        self._step = 0
        self._writes = -1

    def step(self) -> int:
        writes = backends.write_count(self._counter)
        if writes != self._writes:
            self._step = int(backends.to_numpy(self._counter))
            self._writes = writes
        return self._step

    def stepped(self) -> None:
        """One `apply` ended, which adds 1 by one write; anything else is left for `step` to notice."""
        if self._writes >= 0 and backends.write_count(self._counter) == self._writes + 1:
            self._step += 1
            self._writes += 1


def evaluate(value: Any, step: Any) -> Any:
    """A number as it is; a schedule at the step, as a float where the step is a Python int."""
    if isinstance(step, int) and hasattr(value, "value_at"):
        return value.value_at(step)
    if isinstance(value, Real):
        return float(value)
    return backends.computed_on_host(value, step) if isinstance(step, int) else value(step)


def _is_a(optimizer: Any, name: str) -> bool:
    optimizer_class = getattr(keras.optimizers, name, None)
    return optimizer_class is not None and isinstance(optimizer, optimizer_class)
