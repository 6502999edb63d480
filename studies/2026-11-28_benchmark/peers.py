"""Optimizers that need no learning rate, from optax.contrib, each with its authors' defaults. JAX only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
from optax import contrib
from tasks import WEIGHT_DECAY, Task

Weights = list[np.ndarray]
STATISTICS_STEPS = 300  # that estimate the statistics of batch normalization for averaged weights
WARMUP = 0.05  # of the steps, for schedule-free AdamW


@dataclass(frozen=True)
class Peer:
    """An optimizer without a learning rate.

    Attributes:
        make: Function of the number of steps and the weight decay that returns the transformation.
        optimizers: The optimizers of the tasks that it replaces, of the same family.
        averages: Whether the weights to evaluate are an average in its state.
    """

    make: Callable[[int, float], optax.GradientTransformation]
    optimizers: tuple[str, ...]
    averages: bool = False


def cosine(steps: int) -> Any:
    """Return the schedule that the authors of Prodigy advise: from 1 to 0 by a cosine."""
    return optax.cosine_decay_schedule(1.0, steps)


ADAM = ("adam", "adamw")
PEERS = {
    "Prodigy": Peer(lambda steps, decay: contrib.prodigy(cosine(steps), weight_decay=decay), ADAM),
    "D-Adaptation": Peer(lambda steps, decay: contrib.dadapt_adamw(cosine(steps), weight_decay=decay), ADAM),
    "schedule-free AdamW": Peer(
        lambda steps, decay: contrib.schedule_free_adamw(warmup_steps=round(WARMUP * steps), weight_decay=decay),
        ADAM, averages=True,
    ),
    "Mechanic": Peer(
        lambda steps, decay: contrib.mechanize(optax.adamw(cosine(steps), weight_decay=decay)), ADAM
    ),
    "MoMo-Adam": Peer(lambda steps, decay: contrib.momo_adam(weight_decay=decay), ADAM),
    "MoMo": Peer(lambda steps, decay: contrib.momo(weight_decay=decay), ("sgd",)),
}  # fmt: skip


def train(model: keras.Model, task: Task, peer: Peer, train_data: tuple[Any, Any], steps: int, seed: int) -> Weights:
    """Train a model of a task with a peer and return its weights.

    Args:
        model: The model with its initial weights.
        task: The task.
        peer: The optimizer.
        train_data: Inputs and targets.
        steps: Number of training steps.
        seed: Seed of the order of the rows.
    """
    x, y = (jnp.asarray(array) for array in train_data)
    decay = WEIGHT_DECAY if task.optimizer == "adamw" else 0.0
    transformation = optax.with_extra_args_support(peer.make(steps, decay))
    orders = row_orders(len(x), task.batch_size, steps, seed)
    trainable = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]
    # The loop is compiled once a call: a run takes ten times as long.
    trainable, others, state = jax.jit(partial(_run, model, transformation))(trainable, others, x, y, orders)
    if peer.averages:
        trainable = contrib.schedule_free_eval_params(state, trainable)
        others = jax.jit(partial(_statistics, model))(trainable, others, x, orders[-STATISTICS_STEPS:])
    for variables, values in ((model.trainable_variables, trainable), (model.non_trainable_variables, others)):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    return list(model.get_weights())


def row_orders(rows: int, batch_size: int, steps: int, seed: int) -> Any:
    """Return (steps, batch_size) row numbers: each epoch in a new order, its last batch filled up from its first."""
    per_epoch = -(-rows // batch_size)
    rng = np.random.RandomState(seed)
    epochs = [np.resize(rng.permutation(rows), (per_epoch, batch_size)) for _ in range(-(-steps // per_epoch))]
    return jnp.asarray(np.concatenate(epochs)[:steps])


def _run(model: keras.Model, transformation: Any, trainable: Any, others: Any, x: Any, y: Any, orders: Any) -> Any:
    loss_function = keras.losses.get(model.loss)

    def loss_of(trainable: Any, others: Any, rows: Any) -> Any:
        outputs, others = model.stateless_call(trainable, others, x[rows], training=True)
        return jnp.mean(loss_function(y[rows], outputs)), others

    def step(carry: Any, rows: Any) -> Any:
        trainable, others, state = carry
        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, others, rows)
        # MoMo reads the loss; the others ignore it.
        updates, state = transformation.update(gradients, state, trainable, value=loss)
        return (optax.apply_updates(trainable, updates), others, state), None

    return jax.lax.scan(step, (trainable, others, transformation.init(trainable)), orders)[0]


def _statistics(model: keras.Model, trainable: Any, others: Any, x: Any, orders: Any) -> Any:
    """Return the non-trainable variables after forward passes, for the statistics of batch normalization."""

    def step(others: Any, rows: Any) -> Any:
        return model.stateless_call(trainable, others, x[rows], training=True)[1], None

    return jax.lax.scan(step, others, orders)[0]
