"""Compares the study's training with Keras' own optimizers, and with what the installed onecycle does.

ONECYCLE_DATA=DIR KERAS_BACKEND=jax JAX_PLATFORMS=cpu python studies/2026-11-27_bias_correction/check.py

Prints, for each optimizer, the distance of the final weights relative to how far they moved. All is in float64: in
float32 a rounding error can grow to a percent within 40 steps, since Adam makes a step of tiny gradients too.
"""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np
from tasks import Task, load
from training import WEIGHT_DECAY, one_cycle, schedule, train

import onecycle

STEPS, PEAK, SEED = 40, 0.01, 0


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    keras.config.set_floatx("float64")
    task = load("digits-dense")
    for optimizer in ("adam", "adamw"):
        ours = {variant: trained(task, optimizer, variant) for variant in ("plain", "corrected")}
        moved = distance(ours["plain"], list(task.start(SEED).values()))
        others = {"Keras with beta_1 set before each step": by_keras(task, optimizer)}
        others[f"onecycle {onecycle.__version__}"] = by_onecycle(task, optimizer)
        for name, weights in others.items():
            apart = {variant: f"{distance(mine, weights) / moved:.1e}" for variant, mine in ours.items()}
            print(f"{optimizer}: {name} is apart from {apart}")
    cycle = onecycle.OneCycle(1.0, STEPS)
    rates, betas = one_cycle(STEPS)
    print("rates:", np.abs(cycle.values(STEPS) - rates).max(), "momentum:", _beta_difference(cycle, betas))


def trained(task: Task, optimizer: str, variant: str) -> list[np.ndarray]:
    """The final weights of one run of the study."""
    start = {name: weight[None].astype(np.float64) for name, weight in task.start(SEED).items()}
    rates, betas, divisors = (column[None] for column in schedule(STEPS, variant))
    decay = np.array([WEIGHT_DECAY[optimizer]])
    weights = train(task, start, task.batches(SEED, STEPS)[None], rates * PEAK, betas, divisors, decay)
    return [np.asarray(weights[name][0]) for name in task.shapes]


def by_keras(task: Task, optimizer: str) -> list[np.ndarray]:
    """The final weights with Keras' optimizer, both hyperparameters set before each step, run without compilation."""
    model, x, y = compiled(task, optimizer), *task.train
    model.run_eagerly = True
    for rate, beta, rows in zip(*one_cycle(STEPS), task.batches(SEED, STEPS), strict=True):
        model.optimizer.learning_rate = float(rate * PEAK)
        model.optimizer.beta_1 = float(beta)
        model.train_function = None  # on JAX even an eager step is traced once
        model.train_on_batch(x[rows], y[rows])
    return model.get_weights()


def by_onecycle(task: Task, optimizer: str) -> list[np.ndarray]:
    """The final weights with onecycle's schedules of the learning rate and of the momentum."""
    model, rows = compiled(task, optimizer), task.batches(SEED, STEPS).reshape(-1)
    cycle = onecycle.OneCycle(PEAK, STEPS)
    onecycle.schedule_hyperparameters(model, learning_rate=cycle, momentum=cycle.momentum())
    model.fit(task.train[0][rows], task.train[1][rows], batch_size=32, shuffle=False, verbose=0)
    return model.get_weights()


def compiled(task: Task, optimizer: str) -> Any:
    """The dense model with the study's initial weights."""
    layers = [keras.layers.Dense(n, activation) for n, activation in [(64, "relu"), (64, "relu"), (10, None)]]
    model = keras.Sequential([keras.Input(task.train[0].shape[1:]), *layers])
    model.set_weights(list(task.start(SEED).values()))
    decay = {"weight_decay": WEIGHT_DECAY[optimizer]} if optimizer == "adamw" else {}
    chosen = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[optimizer](PEAK, **decay)
    model.compile(chosen, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def distance(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    return float(np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(one, other, strict=True))))


def _beta_difference(cycle: Any, betas: np.ndarray) -> float:
    return float(np.abs(cycle.momentum().values(STEPS) - betas).max())


if __name__ == "__main__":
    main()
