"""Adam and AdamW under the 1cycle policy, written out in JAX, with either bias correction of the first moment.

A whole run is one compiled loop, and many runs are trained at once. The update is that of `keras.optimizers.Adam` and
`AdamW` in Keras 3.15, step by step; `check.py` compares the two.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tasks import Task

BETA_2, EPSILON = 0.999, 1e-7  # Keras' defaults
HIGH, LOW = 0.95, 0.85  # the momentum of the article
WEIGHT_DECAY = {"adam": 0.0, "adamw": 0.05}


def one_cycle(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the learning rates relative to the peak, and beta_1, of each step of the article's 1cycle policy."""
    last = steps - 1
    drop = last - max(1, steps // 10)  # where the final drop starts
    places = [0, max(1, drop // 2), drop, last]
    return (
        np.interp(np.arange(steps), places, [0.1, 1.0, 0.1, 0.0001]),
        np.interp(np.arange(steps), places, [HIGH, LOW, HIGH, HIGH]),
    )


def schedule(steps: int, variant: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what a variant uses at each step: rate relative to the peak, beta_1, and the divisor of the first moment.

    * `plain` divides by `1 - beta_1**t`, with the beta_1 of the step, as Keras does.
    * `corrected` divides by `1 - product of all beta_1 so far`, the weight the first moment has gathered.
    * `rescaled` divides as `plain` does, and has a higher peak: the rates have the same sum as the effective rates of
      `corrected`. It separates a better bias correction from a somewhat higher rate.
    """
    rates, betas = one_cycle(steps)
    plain, product = 1 - betas ** np.arange(1, steps + 1), 1 - np.cumprod(betas)
    if variant == "corrected":
        return rates, betas, product
    if variant == "rescaled":
        return rates * rescaling(steps), betas, plain
    return rates, betas, plain


def rescaling(steps: int) -> float:
    """Return the sum of the effective rates of `corrected`, relative to that of `plain`."""
    rates, betas = one_cycle(steps)
    plain, product = 1 - betas ** np.arange(1, steps + 1), 1 - np.cumprod(betas)
    return float(np.sum(rates * plain / product) / np.sum(rates))


@partial(jax.jit, static_argnums=0)
def train(task: Task, start: Any, batches: Any, rates: Any, betas: Any, divisors: Any, decay: Any) -> Any:
    """Train many runs at once and return their weights.

    Args:
        task: gives the data and the model.
        start: initial weights, a tree of arrays with the runs on the first axis.
        batches: int array, (runs, steps, batch size), rows of the training data.
        rates: float array, (runs, steps); `betas` and `divisors` alike.
        decay: float array, (runs,), weight decay.
    """
    return jax.vmap(partial(_train_one, task))(start, batches, rates, betas, divisors, decay)


def _train_one(task: Task, start: Any, batches: Any, rates: Any, betas: Any, divisors: Any, decay: Any) -> Any:
    x, y = (jnp.asarray(array) for array in task.train)

    def step(carry: Any, now: Any) -> Any:
        weights, first, second = carry
        rows, rate, beta, divisor, divisor_2 = now
        gradient = jax.grad(lambda at: task.loss(task.apply(at, x[rows]), y[rows]))(weights)
        first = jax.tree.map(lambda m, g: m + (g - m) * (1 - beta), first, gradient)
        second = jax.tree.map(lambda v, g: v + (g * g - v) * (1 - BETA_2), second, gradient)
        alpha = rate * jnp.sqrt(divisor_2) / divisor
        weights = jax.tree.map(
            lambda w, m, v: w - w * decay * rate - m * alpha / (jnp.sqrt(v) + EPSILON), weights, first, second
        )
        return (weights, first, second), None

    divisors_2 = jnp.asarray(1 - BETA_2 ** np.arange(1, len(rates) + 1), rates.dtype)
    zeros = jax.tree.map(jnp.zeros_like, start)
    carry, _ = jax.lax.scan(step, (start, zeros, zeros), (batches, rates, betas, divisors, divisors_2))
    return carry[0]


@partial(jax.jit, static_argnums=0)
def evaluate(task: Task, weights: Any) -> Any:
    """Return the held-out loss and error of many runs, each of shape (runs,); the error is NaN for a regression."""
    x, y = (jnp.asarray(array) for array in task.test)

    def one(at: Any) -> Any:
        output = task.apply(at, x)
        return task.loss(output, y), task.error(output, y)

    return jax.vmap(one)(weights)
