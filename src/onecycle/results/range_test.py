"""The results: frozen records that print, plot, save and load without the model that made them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onecycle import suggestions
from onecycle.results import codec
from onecycle.results.base import Result
from onecycle.suggestions import smoothing
from onecycle.suggestions.divergence import StopReason
from onecycle.suggestions.rules import DEFAULT_RULE, RULES, Rule, Suggestion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

codec.storable(StopReason)


codec.storable(Suggestion)


@codec.storable
@dataclass(frozen=True, eq=False)
class RangeTest(Result):
    """A learning rate range test: the losses of a short run whose rate rises, and what they suggest.

    Attributes:
        learning_rates: float64 array, (n,), rate of each step made, increasing.
        losses: float64 array, (n,), true training loss of each batch; with repeats (repeats, n), padded with NaN.
        smoothed: float64 array, (n,), `smoothing.smooth` of the losses (of their median over repeats).
        stop_reason: why the test ended.
        suggestions: rule name -> Suggestion, for every rule.
        rule: name of the rule whose suggestion `learning_rate` is.
        spacing: "exponential" or "linear", how the rates rise.
        num_steps: number of steps asked for; n is smaller where the test stopped early. None if not known.
        batch_size: rows of a batch, or None where the data set decided.
        optimizer: class name of the optimizer, or None.
        backend: Keras backend, or None.
        seed: the seed given, or None.
        versions: package name -> version, of what ran the test.
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

    def __post_init__(self) -> None:
        for name in ("learning_rates", "losses", "smoothed"):
            self._freeze(name)
        n = self.learning_rates.shape
        if len(n) != 1 or self.smoothed.shape != n or self.losses.shape[-1:] != n or self.losses.ndim > 2:
            raise ValueError(
                f"A range test needs learning_rates (n,), losses (n,) or (repeats, n), smoothed (n,). Received: "
                f"{self.learning_rates.shape}, {self.losses.shape}, {self.smoothed.shape}"
            )
        if not isinstance(self.stop_reason, StopReason):
            raise TypeError(f"Argument `stop_reason` must be a StopReason. Received: {self.stop_reason!r}")
        if self.rule not in self.suggestions:
            raise ValueError(f"Argument `rule` must be one of {', '.join(self.suggestions)}. Received: {self.rule!r}")
        object.__setattr__(self, "suggestions", dict(self.suggestions))
        object.__setattr__(self, "versions", dict(self.versions))

    @classmethod
    def from_losses(
        cls,
        learning_rates: ArrayLike,
        losses: ArrayLike,
        stop_reason: StopReason,
        *,
        rule: str | Rule = DEFAULT_RULE,
        **facts: Any,
    ) -> RangeTest:
        """Returns the result of a range test from what was measured: smooths, and asks every rule.

        Args:
            learning_rates: float array, (n,), positive and strictly increasing.
            losses: float array, (n,) or (repeats, n) padded with NaN, true per-batch losses.
            stop_reason: why the test ended.
            rule: name of the deciding rule, or a function of your own, (learning_rates, losses) -> Suggestion.
            **facts: the remaining fields: spacing, num_steps, batch_size, optimizer, backend, seed, versions.

        Raises:
            ValueError: for an unknown rule, or arrays that do not fit.
        """
        rules: dict[str, Callable[..., Suggestion]] = dict(RULES)
        if isinstance(rule, str):
            suggestions.find_rule(rule)
        else:
            rules[getattr(rule, "__name__", type(rule).__name__)] = rule
        return cls(
            learning_rates=np.asarray(learning_rates, dtype=np.float64),
            losses=np.asarray(losses, dtype=np.float64),
            smoothed=smoothing.smooth(smoothing.median_over_repeats(losses)),
            stop_reason=stop_reason,
            suggestions={name: ask(learning_rates, losses) for name, ask in rules.items()},
            rule=rule if isinstance(rule, str) else list(rules)[-1],
            **facts,
        )

    @property
    def suggestion(self) -> Suggestion:
        """The deciding rule's suggestion; its `learning_rate` may be None, its `reason` says why."""
        return self.suggestions[self.rule]

    @property
    def learning_rate(self) -> float:
        """The suggested learning rate; a ValueError with the reason where there is none."""
        rate = self.suggestion.learning_rate
        if rate is None:
            raise ValueError(
                f"The range test suggests no learning rate (rule {self.rule}). {self.suggestion.reason} "
                f"How it ended: {self.stop_reason.value}"
            )
        return rate

    @property
    def ending(self) -> str:
        """How the test ended, in a sentence to stand beside the suggestions, which give their own advice."""
        return "The ramp reached its end." if self.stop_reason is StopReason.COMPLETED else self.stop_reason.value

    def summary(self) -> str:
        """Returns the result as text of a few lines: the rate, how the test went, what each rule says."""
        rate = self.suggestion.learning_rate
        head = f"suggests {rate:.3g}" if rate is not None else "suggests no learning rate"
        asked = f" of {self.num_steps}" if self.num_steps is not None else ""
        ends = f", {self.learning_rates[0]:.3g} to {self.learning_rates[-1]:.3g}" if len(self.learning_rates) else ""
        facts = [f"{len(self.learning_rates)}{asked} steps{ends}, {self.spacing}"]
        facts += [f"{len(self.losses)} repeats"] if self.losses.ndim == 2 else []
        for name in ("optimizer", "batch_size", "backend", "seed"):
            value = getattr(self, name)
            facts += [f"{name.replace('_', ' ')} {value}"] if value is not None else []
        width = max(map(len, self.suggestions))
        lines = [f"Learning rate range test: {head} ({self.rule}).", "; ".join(facts) + ".", self.ending, ""]
        for name, suggestion in self.suggestions.items():
            number = "none" if suggestion.learning_rate is None else f"{suggestion.learning_rate:.3g}"
            lines.append(f"{'*' if name == self.rule else ' '} {name:{width}}  {number:>8}  {suggestion.reason}")
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws losses, smoothed loss and suggestions on `ax`, or on a new figure, and returns the Axes.

        Raises:
            ImportError: without matplotlib; the message says what to install.
        """
        from onecycle.plot import plot_range_test

        return plot_range_test(self, ax)
