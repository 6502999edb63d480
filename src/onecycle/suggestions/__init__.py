"""Rules that read a learning rate off measured losses, and what they rest on; NumPy only, no keras."""

from onecycle.suggestions.divergence import DivergenceRule, StopReason
from onecycle.suggestions.rules import (
    DEFAULT_RULE,
    RULES,
    Rule,
    Suggestion,
    blow_up,
    find_rule,
    minimum,
    one_cycle,
    slide,
    steepest,
    valley,
)

__all__ = [
    "DEFAULT_RULE",
    "RULES",
    "DivergenceRule",
    "Rule",
    "StopReason",
    "Suggestion",
    "blow_up",
    "find_rule",
    "minimum",
    "one_cycle",
    "slide",
    "steepest",
    "valley",
]
