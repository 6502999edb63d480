"""The result of a learning rate range test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onecycle.results import codec
from onecycle.results.base import Result
from onecycle.results.layer_rates import describe_layer_rates
from onecycle.suggestions import smoothing
from onecycle.suggestions.divergence import StopReason
from onecycle.suggestions.rules import DEFAULT_RULE, RULES, apply_rule, find_rule
from onecycle.suggestions.spread import suggestion_interval
from onecycle.suggestions.suggestion import Rule, Suggestion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Registered here, since `suggestions` does not import `results`.
codec.storable(StopReason)
codec.storable(Suggestion)


# Of a ramp that ended in its last step, so that it was not stopped before its end.
_ENDED_AT_LAST_STEP = {
    StopReason.DIVERGED: "The loss diverged in the last step of the ramp.",
    StopReason.NON_FINITE: "The loss became NaN or infinite in the last step of the ramp.",
}


class RangeTestSettings(TypedDict, total=False):
    """The fields of a `RangeTest` that describe how it was made."""

    spacing: str
    num_steps: int | None
    batch_size: int | None
    optimizer: str | None
    backend: str | None
    seed: int | None
    versions: Mapping[str, str]
    hints: tuple[str, ...]
    gradient_accumulation_steps: int | None
    training_steps: int | None
    origin: Mapping[str, str]
    layer_rates: Mapping[str, float]


@codec.storable
@dataclass(frozen=True, eq=False, repr=False)
class RangeTest(Result):
    """A learning rate range test: the losses of a short run with a rising rate, and the rates they suggest.

    Attributes:
        learning_rates: float64 array, `(n,)`, learning rate of each step, increasing. With gradient accumulation, a
            step is an update of the weights.
        losses: float64 array, `(n,)`, true training loss of each step; with repeats `(repeats, n)`, padded with NaN.
            With gradient accumulation, the mean over the batches of an update.
        smoothed: float64 array, `(n,)`, smoothed losses (of the median over repeats).
        stop_reason: Why the test ended.
        suggestions: Rule name -> `Suggestion`, for every rule.
        rule: Name of the deciding rule, whose suggestion is `learning_rate`.
        spacing: Spacing of the rates, "exponential" or "linear".
        num_steps: Number of steps of the ramp, or None if it is unknown. n is smaller if the test stopped early.
        batch_size: Batch size, or None for data sets, which are already batched.
        optimizer: Class name of the optimizer, or None.
        backend: Keras backend, or None.
        seed: The seed given, or None.
        versions: Package name -> version of the packages that ran the test.
        hints: What is wrong with the data, with the remedy: one or two sentences for each fault that was noticed.
        gradient_accumulation_steps: Number of batches whose gradients are accumulated for one update, or None.
        training_steps: Batches that the test trained on, in all repeats and also after the loss had diverged; None in
            results of older versions.
        origin: Name -> text: date, model, optimizer, backend and hardware. Empty in results of older versions. Results
            are equal whatever their origin.
        interval: (low, high) in which a test with another seed would suggest a rate, as
            `onecycle.suggestions.spread.suggestion_interval` defines it. None where nothing is suggested, and for
            rules of your own. It is computed, and an argument of this name has no effect.
        layer_rates: Layers -> factor on their learning rate. The learning rates here are those of factor 1.
    """

    learning_rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    stop_reason: StopReason
    suggestions: Mapping[str, Suggestion]
    rule: str = DEFAULT_RULE
    spacing: str = "exponential"
    num_steps: int | None = None
    batch_size: int | None = None
    optimizer: str | None = None
    backend: str | None = None
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    hints: tuple[str, ...] = field(default=(), metadata=codec.OMITTED_IF_EMPTY)
    gradient_accumulation_steps: int | None = field(default=None, metadata=codec.OMITTED_IF_EMPTY)
    training_steps: int | None = field(default=None, compare=False, metadata=codec.OMITTED_IF_EMPTY)
    origin: Mapping[str, str] = field(default_factory=dict, compare=False, metadata=codec.OMITTED_IF_EMPTY)
    interval: tuple[float, float] | None = field(default=None, metadata=codec.OMITTED_IF_EMPTY)
    layer_rates: Mapping[str, float] = field(default_factory=dict, metadata=codec.OMITTED_IF_EMPTY)

    def __post_init__(self) -> None:
        for name in ("learning_rates", "losses", "smoothed"):
            self._freeze(name)
        n = self.learning_rates.shape
        if len(n) != 1 or self.smoothed.shape != n or self.losses.shape[-1:] != n or self.losses.ndim > 2:
            raise ValueError(
                "A range test needs learning_rates (n,), losses (n,) or (repeats, n), smoothed (n,). Received: "
                f"{self.learning_rates.shape}, {self.losses.shape}, {self.smoothed.shape}"
            )
        if not isinstance(self.stop_reason, StopReason):
            raise TypeError(f"Argument `stop_reason` must be a StopReason. Received: stop_reason={self.stop_reason!r}")
        if self.rule not in self.suggestions:
            raise ValueError(
                f"Argument `rule` must be one of {', '.join(self.suggestions)}. Received: rule={self.rule!r}"
            )
        # Copies, so that later changes of the caller's dicts do not change the result.
        object.__setattr__(self, "suggestions", dict(self.suggestions))
        object.__setattr__(self, "versions", dict(self.versions))
        object.__setattr__(self, "origin", dict(self.origin))
        object.__setattr__(self, "layer_rates", dict(self.layer_rates))
        object.__setattr__(self, "hints", tuple(self.hints))
        object.__setattr__(self, "interval", self._interval())

    @classmethod
    def from_losses(
        cls,
        learning_rates: ArrayLike,
        losses: ArrayLike,
        stop_reason: StopReason,
        *,
        rule: str | Rule = DEFAULT_RULE,
        **settings: Unpack[RangeTestSettings],
    ) -> RangeTest:
        """Return the result of a range test: smooth its losses and apply every rule.

        Args:
            learning_rates: Float array, `(n,)`, positive and strictly increasing.
            losses: Float array, `(n,)` or `(repeats, n)` padded with NaN, true per-batch losses.
            stop_reason: Why the test ended.
            rule: Name of the deciding rule, or a function `(learning_rates, losses) -> Suggestion`.
            **settings: Remaining fields: `spacing`, `num_steps`, `batch_size`, `optimizer`, `backend`, `seed`,
                `versions`, `hints`, `gradient_accumulation_steps`, `training_steps`, `origin`, `layer_rates`.

        Raises:
            RuntimeError, TypeError, ValueError: If the rule is unknown, raises an error or returns something else, or
                if the arrays do not match.
        """
        # A custom rule is listed beside the others under its name.
        rules: dict[str, Rule] = dict(RULES)
        if isinstance(rule, str):
            find_rule(rule)
        else:
            rules[getattr(rule, "__name__", type(rule).__name__)] = partial(apply_rule, rule)
        return cls(
            learning_rates=np.asarray(learning_rates, dtype=np.float64),
            losses=np.asarray(losses, dtype=np.float64),
            smoothed=smoothing.smooth(smoothing.median_over_repeats(losses)),
            stop_reason=stop_reason,
            suggestions={name: suggest(learning_rates, losses) for name, suggest in rules.items()},
            rule=rule if isinstance(rule, str) else list(rules)[-1],
            **settings,
        )

    @property
    def suggestion(self) -> Suggestion:
        """Suggestion of the deciding rule. Its `learning_rate` may be None; its `reason` says why."""
        return self.suggestions[self.rule]

    @property
    def learning_rate(self) -> float:
        """The suggested learning rate. If there is none, this raises a ValueError with the reason."""
        rate = self.suggestion.learning_rate
        if rate is None:
            # If the data has a fault, advice about the limits of the test would mislead.
            completed = self.stop_reason is StopReason.COMPLETED
            advice = self.hints or (self.suggestion.reason, self.stop_reason.value if completed else self.ending)
            raise ValueError(f"The range test suggests no learning rate (rule {self.rule}). {' '.join(advice)}")
        return rate

    @property
    def interval_text(self) -> str:
        """The interval in words, after a comma; empty if there is none."""
        return "" if self.interval is None else ", {:.2g} to {:.2g} with other seeds".format(*self.interval)

    @property
    def ending(self) -> str:
        """How the test ended, in a sentence without advice, since the suggestions give their own."""
        if self.stop_reason is StopReason.COMPLETED:
            return "The ramp reached its end."
        if self.num_steps is not None and len(self.learning_rates) >= self.num_steps:
            return _ENDED_AT_LAST_STEP.get(self.stop_reason, str(self.stop_reason.value))
        return str(self.stop_reason.value)

    def summary(self) -> str:
        """Return the suggested rate, the settings of the test and every rule's suggestion as text."""
        rate = self.suggestion.learning_rate
        verdict = "suggests no learning rate" if rate is None else f"suggests {rate:.3g}"
        width = max(map(len, self.suggestions))
        lines = [f"Learning rate range test: {verdict} ({self.rule}){self.interval_text}."]
        lines += [self._settings(), self.ending]
        if self.layer_rates:
            factors = describe_layer_rates(self.layer_rates)
            lines.append(f"The learning rates are those of layers with factor 1. Other factors: {factors}.")
        lines += [*(f"Note: {hint}" for hint in self.hints), ""]
        for name, suggestion in self.suggestions.items():
            number = "none" if suggestion.learning_rate is None else f"{suggestion.learning_rate:.3g}"
            lines.append(f"{'*' if name == self.rule else ' '} {name:{width}}  {number:>8}  {suggestion.reason}")
        return "\n".join(lines)

    def _interval(self) -> tuple[float, float] | None:
        repeats = self.losses if self.losses.ndim == 2 and len(self.losses) > 1 else ()
        suggest = RULES.get(self.rule)
        alone = [] if suggest is None else [suggest(self.learning_rates, row).learning_rate for row in repeats]
        return suggestion_interval(self.rule, self.suggestion.learning_rate, alone)

    def _draw(self, ax: Axes | None) -> Axes:
        from onecycle.plot import plot_range_test

        return plot_range_test(self, ax)

    def _headline(self) -> str:
        rate = self.suggestion.learning_rate
        suggested = "no learning rate" if rate is None else f"{rate:.3g}"
        return f"{suggested}, rule {self.rule}, {len(self.learning_rates)} steps"

    def _settings(self) -> str:
        steps = len(self.learning_rates)
        requested = f" of {self.num_steps}" if self.num_steps is not None else ""
        ends = f", {self.learning_rates[0]:.3g} to {self.learning_rates[-1]:.3g}" if steps else ""
        settings = [f"{steps}{requested} steps{ends}, {self.spacing}"]
        settings += [f"{len(self.losses)} repeats"] if self.losses.ndim == 2 else []
        batches = self.gradient_accumulation_steps
        settings += [f"each step an update of {batches} accumulated batches"] if batches else []
        for name in ("optimizer", "batch_size", "backend", "seed"):
            value = getattr(self, name)
            settings += [f"{name.replace('_', ' ')} {value}"] if value is not None else []
        return "; ".join(settings) + "."
