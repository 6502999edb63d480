"""Models whose training is followed by an oracle: the small network with every optimizer, scheduled and fitted."""

from contextlib import contextmanager

import keras
from keras import ops

import onecycle
from oracles import networks

STEPS = 40
SAME = 1e-5  # float32 against float64 over 40 steps
BACKEND = keras.backend.backend()

CASES = {
    "sgd": ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    "sgd-nesterov": ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    "rmsprop": ("RMSprop", {"learning_rate": 0.01, "momentum": 0.9}),
    "adam": ("Adam", {"learning_rate": 0.01}),
    "adamw": ("AdamW", {"learning_rate": 0.01}),
    "nadam": ("Nadam", {"learning_rate": 0.01}),
    "adamax": ("Adamax", {"learning_rate": 0.01}),
    "lamb": ("Lamb", {"learning_rate": 0.01}),
    "lion": ("Lion", {"learning_rate": 0.005}),
    "muon": ("Muon", {"learning_rate": 0.02}),
}


class Recorded:
    """Records every gradient that the inner optimizer's update receives, in variables, so that it works compiled."""

    def __init__(self, model, steps=STEPS):
        self.optimizer = model.optimizer.inner_optimizer
        self._recorded = [
            self.optimizer.add_variable((steps, *variable.shape), name=f"recorded_{i}")
            for i, variable in enumerate(model.trainable_variables)
        ]
        self._update = self.optimizer._backend_update_step
        vars(self.optimizer)["_backend_update_step"] = self._record

    def updates(self):
        return int(ops.convert_to_numpy(self.optimizer._iterations.value))

    def gradients(self):
        recorded = [ops.convert_to_numpy(variable.value) for variable in self._recorded]
        return [[gradients[step] for gradients in recorded] for step in range(self.updates())]

    def _record(self, gradients, variables, learning_rate):
        # Where layers have rates of their own, PyTorch updates the weights of one factor after those of another.
        for variable, gradient in zip(variables, gradients, strict=True):
            record = self._recorded[self.optimizer._get_variable_index(variable)]
            here = ops.one_hot(self.optimizer._iterations, record.shape[0], dtype="float32")
            here = ops.reshape(here, (-1, *[1] * len(gradient.shape)))
            record.assign(ops.where(here > 0, gradient[None], record.value))
        self._update(gradients, variables, learning_rate)


def compiled(name, config, **arguments):
    """Return the small network compiled with the Keras optimizer of that name."""
    model = networks.keras_model(seed=0)
    model.compile(getattr(keras.optimizers, name)(**config), "mse", **arguments)
    return model


def compiled_in_float16(name, config):
    """Return the network in mixed precision, with a loss scale at which no gradient of finite data overflows."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = networks.keras_model(seed=0)
        inner = getattr(keras.optimizers, name)(**config)
        model.compile(keras.optimizers.LossScaleOptimizer(inner, initial_scale=64.0), "mse")
    finally:
        keras.config.set_dtype_policy(before)
    return model


def scheduled(config, steps=STEPS, start_step=0):
    """Return a cycle of the rate, its momentum and a falling weight decay."""
    cycle = onecycle.OneCycle(config["learning_rate"], steps, start_step=start_step)
    decay = onecycle.WarmupLinearDecay(0.2, steps, start_step=start_step)
    return {"learning_rate": cycle, "momentum": cycle.momentum(high=0.95, low=0.7), "weight_decay": decay}


def fit(model, found):
    """Train one epoch over the batches, in order."""
    x, y = networks.stacked(found)
    model.fit(x, y, batch_size=networks.BATCH_SIZE, shuffle=False, verbose=0)


def follow(oracle, found, values=None, *, weights=None, start_step=0):
    """Return the oracle's weights after the same batches under the same values."""
    weights = networks.initial_weights(0) if weights is None else weights
    functions = {key: as_function(value, start_step) for key, value in (values or {}).items()}
    return networks.train(oracle, weights, found, **functions)[0]


def replay(oracle, gradients, values):
    """Return the oracle's weights after recorded gradients."""
    weights = networks.initial_weights(0)
    functions = {key: as_function(value, 0) for key, value in values.items()}
    for step, now in enumerate(gradients):
        weights = oracle.step(weights, now, **{k: v(step) if callable(v) else v for k, v in functions.items()})
    return weights


def as_function(value, start_step):
    """Return a schedule as a function of the steps since `start_step`; return numbers and functions unchanged."""
    at = getattr(value, "value_at", None)
    return value if at is None else lambda step: at(step + start_step)


@contextmanager
def recompilations_are_errors():
    """On PyTorch, fail if `torch.compile` recompiles for each value; it compiles a step of Keras twice."""
    if BACKEND != "torch":
        yield
        return
    import torch

    with torch._dynamo.config.patch(recompile_limit=3, fail_on_recompile_limit_hit=True):
        yield
