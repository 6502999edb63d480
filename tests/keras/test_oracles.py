"""With the same hyperparameters the oracles have the weights of Keras, on the current backend."""

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.optimizers import Accumulated, make

# Keras 3.15 reads variables in a way that NumPy 2 deprecates. onecycle has no part in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

STEPS = 40
SAME = 1e-5  # float32 against float64 over 40 steps; the largest difference measured is 2.6e-6
DIFFERENT = 1e-3

ADAM = {"learning_rate": 0.01, "beta_1": 0.9, "weight_decay": 0.05}
CASES = {
    "sgd": ("SGD", {"learning_rate": 0.05, "weight_decay": 0.05}),
    "sgd-momentum": ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.05}),
    "sgd-nesterov": ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    "sgd-no-decay": ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    "rmsprop": ("RMSprop", {"learning_rate": 0.01, "weight_decay": 0.05}),
    "rmsprop-momentum": ("RMSprop", {"learning_rate": 0.01, "momentum": 0.8, "weight_decay": 0.05}),
    "rmsprop-centered": ("RMSprop", {"learning_rate": 0.01, "centered": True, "weight_decay": 0.05}),
    "rmsprop-centered-momentum": (
        "RMSprop",
        {"learning_rate": 0.01, "momentum": 0.8, "centered": True, "weight_decay": 0.05},
    ),
    "adam": ("Adam", ADAM),
    "adam-no-decay": ("Adam", {"learning_rate": 0.01}),
    "adamw": ("AdamW", {"learning_rate": 0.01}),
    "adamax": ("Adamax", ADAM),
    "lamb": ("Lamb", ADAM),
    "nadam": ("Nadam", ADAM),
    "lion": ("Lion", {"learning_rate": 0.005, "beta_1": 0.9, "weight_decay": 0.05}),
    "muon": ("Muon", {"learning_rate": 0.02, "weight_decay": 0.05, "adam_weight_decay": 0.1}),
    "muon-plain": (
        "Muon",
        {"learning_rate": 0.02, "nesterov": False, "rms_rate": None, "adam_lr_ratio": 0.5, "weight_decay": None},
    ),
}
# Without those for which Keras makes no momentum, because it is zero at first, and those almost like another.
CHANGING = [
    case for case in CASES if case not in {"sgd", "rmsprop", "rmsprop-centered", "adamw"} and "no-decay" not in case
]
DECAYED = [case for case, (_, config) in CASES.items() if config.get("weight_decay")]


@pytest.fixture(scope="module")
def data():
    """The forty fixed batches of all tests here."""
    return networks.batches(seed=1, n=STEPS)


@pytest.mark.one_backend
@pytest.mark.parametrize("case", CASES)
def test_oracle_agrees_with_a_compiled_fit(case, data):
    """Forty steps of a compiled fit have the weights of the oracle, and not those of another momentum."""
    name, config = CASES[case]
    trained = fit(make_optimizer(name, config), data)
    assert networks.distance(trained, follow(name, config, data)) < SAME
    assert networks.distance(trained, follow(name, config, data, momentum=0.5)) > DIFFERENT


@pytest.mark.one_backend
@pytest.mark.parametrize("case", DECAYED)
def test_weight_decay_has_an_effect(case, data):
    """Without weight decay the oracle's weights differ, so the agreement above tests weight decay as well."""
    name, config = CASES[case]
    with_decay = follow(name, config, data)
    assert networks.distance(with_decay, follow(name, config, data, weight_decay=0.0)) > DIFFERENT


@pytest.mark.parametrize("case", CHANGING)
def test_oracle_agrees_when_every_hyperparameter_changes_every_step(case, data):
    """Uncompiled Keras, with its hyperparameters assigned before each step, has the weights of the oracle."""
    name, config = CASES[case]
    found = data[:20]
    optimizer = make_optimizer(name, config)
    changing = changing_hyperparameters(config, len(found))
    trained = fit(optimizer, found, SetByHand(optimizer, **changing))
    assert networks.distance(trained, follow(name, config, found, **changing)) < SAME
    for hyperparameter in changing:
        frozen = changing | {hyperparameter: changing[hyperparameter](0)}
        assert networks.distance(trained, follow(name, config, found, **frozen)) > DIFFERENT


@pytest.mark.one_backend
@pytest.mark.parametrize("case", ["sgd-momentum", "sgd-nesterov", "adam"])
def test_gradient_accumulation(case, data):
    """Four micro-batches make one update, whose scheduled rate is that at the step of the last one."""
    name, config = CASES[case]
    rate = config["learning_rate"]
    found = data[:-2]  # 38 micro-batches: the last two never become an update
    schedule = keras.optimizers.schedules.ExponentialDecay(rate, decay_steps=STEPS, decay_rate=0.1)
    trained = fit(make_optimizer(name, config | {"learning_rate": schedule, "gradient_accumulation_steps": 4}), found)
    accumulating = config | {"gradient_accumulation_steps": 4}
    expected = follow(name, accumulating, found, learning_rate=lambda step: rate * 0.1 ** (step / STEPS))
    assert networks.distance(trained, expected) < SAME
    by_updates = follow(name, accumulating, found, learning_rate=lambda step: rate * 0.1 ** (step // 4 / STEPS))
    assert networks.distance(trained, by_updates) > DIFFERENT


@pytest.mark.one_backend
def test_gradient_accumulation_when_every_hyperparameter_changes(data):
    """Under accumulation the momentum and decay of an update are those of the last micro-batch as well."""
    # Few, since without compilation JAX traces the accumulation at every micro-batch, half a second each.
    found = data[:6]
    config = {"learning_rate": 0.05, "weight_decay": 0.05, "gradient_accumulation_steps": 2}
    optimizer = make_optimizer("Adam", config)
    changing = changing_hyperparameters(config, len(found))
    trained = fit(optimizer, found, SetByHand(optimizer, **changing))
    assert networks.distance(trained, follow("Adam", config, found, **changing)) < SAME
    early = {name: lambda step, of=value: of(step // 2 * 2) for name, value in changing.items()}
    assert networks.distance(trained, follow("Adam", config, found, **early)) > DIFFERENT


@pytest.mark.one_backend
def test_accumulated_averages(data):
    """Four identical micro-batches have the effect of one step, and the weights stay unchanged before the fourth."""
    start, (_, gradients) = networks.initial_weights(0), gradients_of(data[0])
    once = make("Adam").step(start, gradients)
    accumulated, weights = Accumulated(make("Adam"), 4), start
    for _ in range(3):
        weights = accumulated.step(weights, gradients)
        assert networks.distance(weights, start) == 0
    assert networks.distance(accumulated.step(weights, gradients), once) < 1e-12


@pytest.mark.one_backend
@pytest.mark.parametrize("schedule", ["constant", "changing"])
def test_no_sign_of_lion_depends_on_rounding(schedule, data):
    """The smallest value whose sign Lion takes is far above float32's rounding, so agreement is not chance."""
    name, config = CASES["lion"]
    oracle = make(name, **config)
    found, changing = (data, {}) if schedule == "constant" else (data[:20], changing_hyperparameters(config, 20))
    networks.train(oracle, networks.initial_weights(0), found, **changing)
    assert oracle.margin > SAME


@pytest.mark.one_backend
@pytest.mark.parametrize("index", range(4))
def test_gradients_are_exact(index, data):
    """Each gradient agrees with the central difference of the loss."""
    weights, (_, gradients) = networks.initial_weights(0), gradients_of(data[0])
    direction = np.random.default_rng(index).normal(size=weights[index].shape)

    def loss(size):
        moved = [w + size * direction if i == index else w for i, w in enumerate(weights)]
        return networks.loss_and_gradients(moved, *data[0])[0]

    assert np.sum(gradients[index] * direction) == pytest.approx((loss(1e-5) - loss(-1e-5)) / 2e-5, rel=1e-7)


@pytest.mark.one_backend
def test_keras_network_is_the_same(data):
    """The Keras model computes the loss of the NumPy network."""
    model = networks.keras_model(seed=0)
    x, y = data[0]
    error = model.predict_on_batch(x.astype("float32")) - y
    assert np.mean(error**2) == pytest.approx(gradients_of(data[0])[0], rel=1e-5)


class SetByHand(keras.callbacks.Callback):
    """Sets the hyperparameters of an uncompiled optimizer before each batch to their values at its step."""

    def __init__(self, optimizer, learning_rate, momentum, weight_decay):
        super().__init__()
        self.optimizer = optimizer
        self.rate = learning_rate
        self.values = {
            ("momentum", "beta_1", "adam_beta_1"): momentum,
            ("weight_decay", "adam_weight_decay"): weight_decay,
        }
        self.on_train_batch_begin(0)
        optimizer.learning_rate = lambda: self.now

    def on_train_batch_begin(self, batch, logs=None):
        self.now = self.rate(batch)
        for names, value in self.values.items():
            for name in names:
                if hasattr(self.optimizer, name):
                    setattr(self.optimizer, name, value(batch))


def fit(optimizer, found, callback=None):
    """Return the weights after one epoch over the batches, uncompiled if there is a callback."""
    model = networks.keras_model(seed=0)
    x, y = networks.stacked(found)
    model.compile(optimizer, "mse", run_eagerly=callback is not None)
    callbacks = [callback] if callback else []
    model.fit(x, y, batch_size=networks.BATCH_SIZE, shuffle=False, verbose=0, callbacks=callbacks)
    return model.get_weights()


def follow(name, config, found, **hyperparameters):
    """Return the oracle's weights after the same batches."""
    oracle = make(name, **config)
    return networks.train(oracle, networks.initial_weights(0), found, **hyperparameters)[0]


def make_optimizer(name, config):
    """Return the Keras optimizer of that name."""
    return getattr(keras.optimizers, name)(**config)


def changing_hyperparameters(config, steps=STEPS):
    """Return a rate that rises and falls, a momentum that mirrors it, and a weight decay that grows."""
    peak = config["learning_rate"]

    def height(step):
        return 1 - abs(2 * step / (steps - 1) - 1)

    return {
        "learning_rate": lambda step: peak * (0.1 + 0.9 * height(step)),
        "momentum": lambda step: 0.95 - 0.25 * height(step),
        "weight_decay": lambda step: 0.01 + 0.2 * step / (steps - 1),
    }


def gradients_of(batch):
    """Return the loss and gradients of the initial weights on one batch."""
    return networks.loss_and_gradients(networks.initial_weights(0), *batch)
