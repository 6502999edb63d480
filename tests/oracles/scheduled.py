"""The small network with an optimizer to schedule, and six of its steps computed by the oracle."""

import keras

import onecycle
from oracles import networks
from oracles.optimizers import make

CYCLE = onecycle.OneCycle(0.1, 6)
BUILT_WITH = {"SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.9}}


def optimizer_with_momentum(name):
    """Return an optimizer of that class with a momentum."""
    return getattr(keras.optimizers, name)(**BUILT_WITH.get(name, {}))


def compiled(optimizer, **arguments):
    """Return the small network compiled with the optimizer."""
    model = networks.keras_model(seed=0)
    model.compile(optimizer, "mse", **arguments)
    return model


def fit(model, steps, start=0):
    """Train on some of the fixed batches."""
    x, y = networks.stacked(networks.batches(seed=1, n=20)[start : start + steps])
    model.fit(x, y, batch_size=networks.BATCH_SIZE, shuffle=False, verbose=0)


def read(model):
    """Return `optimizer.learning_rate` as a float."""
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def unchanged(*optimizers):
    """Return a context manager that checks that the optimizers' attributes are the same objects after its block."""

    class Unchanged:
        def __enter__(self):
            self.before = [dict(vars(optimizer)) for optimizer in optimizers]

        def __exit__(self, *error):
            for optimizer, before in zip(optimizers, self.before, strict=True):
                after = vars(optimizer)
                assert list(after) == list(before)
                assert all(after[key] is before[key] for key in before)

    return Unchanged()


def sgd(
    learning_rate=CYCLE,
    momentum=0.9,
    frozen=0,
    start=None,
    change=lambda gradients, weights: gradients,
    constrain=lambda weights: weights,
    passed=None,
):
    """Return the weights after six steps of the SGD oracle.

    Args:
        learning_rate: A schedule, a function of the step or a number.
        momentum: The same.
        frozen: The number of weights, from the first on, that are not trained.
        start: The initial weights.
        change: Changes the gradients, as clipping does.
        constrain: Changes the weights after each step.
        passed: A list that gets the weights after each step.
    """
    weights = networks.initial_weights(0) if start is None else start
    oracle = make("SGD", momentum=0.9)
    for step, (x, y) in enumerate(networks.batches(seed=1, n=20)[:6]):
        gradients = change(networks.loss_and_gradients(weights, x, y)[1], weights)
        updated = oracle.step(weights, gradients, _value(learning_rate, step), _value(momentum, step))
        weights = constrain([*weights[:frozen], *updated[frozen:]])
        if passed is not None:
            passed.append(weights)
    return weights


def _value(value, step):
    """Return the value of a schedule, a function or a number at a step."""
    at = getattr(value, "value_at", value)
    return at(step) if callable(at) else at
