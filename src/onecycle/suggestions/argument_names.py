"""Errors for unknown arguments that name the right one, also for the names that other libraries use."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# Names in fastai, torch-lr-finder, PyTorch Lightning, PyTorch and optax -> what they may be called here. The first of
# these that the function has is suggested.
OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "lr": ("learning_rate", "max_learning_rate"),
    **dict.fromkeys(
        ("max_lr", "lr_max", "end_lr", "peak_lr", "peak_value", "peak", "init_lr"),
        ("max_learning_rate", "learning_rate"),
    ),
    **dict.fromkeys(
        ("min_lr", "start_lr", "base_lr"), ("min_learning_rate", "base_learning_rate", "max_learning_rate")
    ),
    **dict.fromkeys(
        ("num_it", "num_iter", "num_training", "n_iter", "iterations", "steps", "transition_steps"),
        ("num_steps", "total_steps"),
    ),
    **dict.fromkeys(("step_mode", "mode"), ("spacing",)),
    **dict.fromkeys(("suggest_funcs", "suggest_func", "suggestion"), ("rule",)),
    **dict.fromkeys(("n_epoch", "n_epochs", "num_epochs", "max_epochs", "nb_epoch"), ("epochs",)),
    **dict.fromkeys(("bs", "batch"), ("batch_size",)),
    **dict.fromkeys(("cbs", "callback"), ("callbacks",)),
    **dict.fromkeys(("moms", "mom", "cycle_momentum", "base_momentum", "max_momentum", "beta_1"), ("momentum",)),
    "wd": ("weight_decay",),
    **dict.fromkeys(("layer_decay", "layer_lr", "layer_lrs", "lr_mult", "param_groups"), ("layer_rates",)),
    **dict.fromkeys(("div", "div_factor"), ("initial_divisor",)),
    **dict.fromkeys(("div_final", "final_div_factor", "final_div"), ("final_divisor",)),
    **dict.fromkeys(("pct_start", "warmup", "warmup_steps", "warmup_ratio"), ("warmup_fraction",)),
    **dict.fromkeys(("pct_final", "decay_steps"), ("final_fraction", "decay_fraction")),
    "anneal_strategy": ("shape",),
    "step_size_up": ("step_size",),
    **dict.fromkeys(("last_epoch", "start_epoch"), ("initial_epoch", "start_step")),
    **dict.fromkeys(("val_loader", "val_dataloaders", "val_data", "validation"), ("validation_data",)),
    **dict.fromkeys(("train_loader", "train_dataloaders", "dataloaders", "data", "dataset"), ("x",)),
    **dict.fromkeys(("random_state", "random_seed"), ("seed",)),
    **dict.fromkeys(("n_seeds", "num_seeds"), ("seeds",)),
    **dict.fromkeys(("n_jobs", "num_workers"), ("jobs",)),
}
_SHAPE = "The shape of a cycle is an argument of its schedule, such as `onecycle.OneCycle`: pass it as `schedule`"
# What to do if the function has no such argument under any name.
ADVICE: dict[str, str] = {
    **dict.fromkeys(
        ("wd", "weight_decay"), "Weight decay is an argument of the optimizer, and of `schedule_hyperparameters`"
    ),
    **dict.fromkeys(
        (
            "pct_start", "warmup", "warmup_steps", "warmup_ratio", "warmup_fraction", "div", "div_factor", "div_final",
            "final_div_factor", "final_div", "initial_divisor", "final_divisor", "final_fraction", "anneal_strategy",
            "shape", "three_phase",
        ),
        _SHAPE,
    ),
}  # fmt: skip


def suggest_names(*, others: Collection[str] = ()) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator for a function whose TypeError for an unknown argument is to name the right one.

    Args:
        others: Names that the function takes besides its parameters, in its `**` argument.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters.values()
        names = [p.name for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD] + list(others)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            unknown = [name for name in kwargs if name not in names]
            if unknown:
                advice = advice_on_name(unknown[0], names)
                raise TypeError(
                    f"{function.__qualname__}() got an unexpected keyword argument {unknown[0]!r}. {advice}"
                )
            return function(*args, **kwargs)

        return checked

    return decorate


def advice_on_name(unknown: str, names: Iterable[str]) -> str:
    """Return a sentence that says which argument was meant, what to do instead, or which arguments there are.

    Args:
        unknown: The name that was given.
        names: The names that there are.
    """
    names = tuple(names)
    meant = next((name for name in OTHER_NAMES.get(unknown, ()) if name in names), None)
    if meant is None and unknown in ADVICE:
        return f"{ADVICE[unknown]}."
    close = difflib.get_close_matches(unknown, names, n=1)
    meant = meant or next(iter(close), None)
    return f"Did you mean `{meant}`?" if meant else f"The arguments are: {', '.join(names)}."
