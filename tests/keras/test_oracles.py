"""The oracles are right: given the same hyperparameters they do what Keras does, on the backend in force."""

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.optimizers import BIAS_CORRECTIONS, Accumulated, make

# Keras 3.15's own way of reading a variable trips over NumPy 2's protocol; nothing of ours is in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

STEPS = 40
SAME = 1e-5  # float32 against float64 over 40 steps; the largest met is 2.6e-6
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
# Left out are those for which Keras builds no momentum, because it begins at zero, and near twins.
CHANGING = [
    case for case in CASES if case not in {"sgd", "rmsprop", "rmsprop-centered", "adamw"} and "no-decay" not in case
]
DECAYED = [case for case, (_, config) in CASES.items() if config.get("weight_decay")]


@pytest.fixture(scope="module")
def data():
    """The forty fixed batches that everybody trains on."""
    return networks.batches(seed=1, n=STEPS)


@pytest.mark.parametrize("case", CASES)
def test_oracle_agrees_with_a_compiled_fit(case, data):
    """Forty steps of a plain compiled fit end where the oracle ends, and not where another momentum ends."""
    name, config = CASES[case]
    trained = fit(make_optimizer(name, config), data)
    assert networks.distance(trained, follow(name, config, data)) < SAME
    assert networks.distance(trained, follow(name, config, data, momentum=0.5)) > DIFFERENT


@pytest.mark.parametrize("case", DECAYED)
def test_weight_decay_is_seen(case, data):
    """Without its weight decay the oracle ends elsewhere, so the agreement above is evidence on decay too."""
    name, config = CASES[case]
    with_decay = follow(name, config, data)
    assert networks.distance(with_decay, follow(name, config, data, weight_decay=0.0)) > DIFFERENT


@pytest.mark.parametrize("case", CHANGING)
def test_oracle_agrees_when_every_hyperparameter_changes_every_step(case, data):
    """Uncompiled Keras, with its hyperparameters set by hand before each step, ends where the oracle ends."""
    name, config = CASES[case]
    found = data[:20]
    optimizer = make_optimizer(name, config)
    changing = changing_hyperparameters(config, len(found))
    trained = fit(optimizer, found, SetByHand(optimizer, **changing))
    # What Keras does with a beta_1 that changed under it is the power of the current one.
    assert networks.distance(trained, follow(name, literally(name, config), found, **changing)) < SAME
    for hyperparameter in changing:
        frozen = changing | {hyperparameter: changing[hyperparameter](0)}
        assert networks.distance(trained, follow(name, literally(name, config), found, **frozen)) > DIFFERENT


@pytest.mark.parametrize("case", ["adam", "adamax", "muon", "lamb"])
def test_bias_corrections_differ_only_under_changing_momentum(case, data):
    """The product and the power part ways only when beta_1 changes, and in Lamb not even then."""
    name, config = CASES[case]
    changing = changing_hyperparameters(config)
    constant, varied = [], []
    for correction in BIAS_CORRECTIONS:
        constant.append(follow(name, config | {"bias_correction": correction}, data))
        varied.append(follow(name, config | {"bias_correction": correction}, data, **changing))
    assert networks.distance(*constant) < 1e-12
    if case == "lamb":  # it rescales its direction to the weight's length, so no correction of the mean is left
        assert networks.distance(*varied) < 1e-12
    else:
        assert networks.distance(*varied) > DIFFERENT


def test_product_correction_is_unbiased():
    """Under a constant gradient, Adam with the product moves by exactly the rate, whatever beta_1 does."""
    oracle = make("Adam", learning_rate=0.1, epsilon=0.0, bias_correction="product")
    weights = [np.array([1.0, 2.0])]
    for step, beta_1 in enumerate([0.95, 0.5, 0.85, 0.0, 0.99], start=1):
        weights = oracle.step(weights, [np.array([3.0, -0.2])], momentum=beta_1)
        np.testing.assert_allclose(weights[0], [1.0 - 0.1 * step, 2.0 + 0.1 * step], rtol=1e-12)


@pytest.mark.parametrize("case", ["sgd-momentum", "sgd-nesterov", "adam"])
def test_gradient_accumulation(case, data):
    """Four micro-batches make one update, whose scheduled rate is that of the last one's raw counter."""
    name, config = CASES[case]
    rate, found = (
        config["learning_rate"],
        data[:-2],
    )  # 38 micro-batches: the last two wait for an update in vain
    schedule = keras.optimizers.schedules.ExponentialDecay(rate, decay_steps=STEPS, decay_rate=0.1)
    trained = fit(make_optimizer(name, config | {"learning_rate": schedule, "gradient_accumulation_steps": 4}), found)
    accumulating = config | {"gradient_accumulation_steps": 4}
    expected = follow(name, accumulating, found, learning_rate=lambda step: rate * 0.1 ** (step / STEPS))
    assert networks.distance(trained, expected) < SAME
    by_updates = follow(name, accumulating, found, learning_rate=lambda step: rate * 0.1 ** (step // 4 / STEPS))
    assert networks.distance(trained, by_updates) > DIFFERENT


def test_gradient_accumulation_when_every_hyperparameter_changes(data):
    """Under accumulation the momentum and decay in force are those of the last micro-batch as well."""
    # Few: without compilation JAX traces the accumulation anew at every micro-batch, half a second each.
    found = data[:6]
    config = {"learning_rate": 0.05, "weight_decay": 0.05, "gradient_accumulation_steps": 2}
    optimizer = make_optimizer("Adam", config)
    changing = changing_hyperparameters(config, len(found))
    trained = fit(optimizer, found, SetByHand(optimizer, **changing))
    assert networks.distance(trained, follow("Adam", literally("Adam", config), found, **changing)) < SAME
    early = {name: lambda step, of=value: of(step // 2 * 2) for name, value in changing.items()}
    assert networks.distance(trained, follow("Adam", literally("Adam", config), found, **early)) > DIFFERENT


def test_accumulated_averages(data):
    """Four identical micro-batches do what one step does, and nothing happens before the fourth."""
    start, (_, gradients) = networks.initial_weights(0), gradients_of(data[0])
    once = make("Adam").step(start, gradients)
    accumulated, weights = Accumulated(make("Adam"), 4), start
    for _ in range(3):
        weights = accumulated.step(weights, gradients)
        assert networks.distance(weights, start) == 0
    assert networks.distance(accumulated.step(weights, gradients), once) < 1e-12


@pytest.mark.parametrize("schedule", ["constant", "changing"])
def test_no_sign_of_lion_hangs_by_a_rounding(schedule, data):
    """The smallest blend whose sign Lion took is far above float32's rounding: agreement is no luck."""
    name, config = CASES["lion"]
    oracle = make(name, **config)
    found, changing = (data, {}) if schedule == "constant" else (data[:20], changing_hyperparameters(config, 20))
    networks.train(oracle, networks.initial_weights(0), found, **changing)
    assert oracle.margin > SAME


@pytest.mark.parametrize("index", range(4))
def test_gradients_are_exact(index, data):
    """Each gradient is the central difference of the loss."""
    weights, (_, gradients) = networks.initial_weights(0), gradients_of(data[0])
    direction = np.random.default_rng(index).normal(size=weights[index].shape)

    def loss(size):
        moved = [w + size * direction if i == index else w for i, w in enumerate(weights)]
        return networks.loss_and_gradients(moved, *data[0])[0]

    assert np.sum(gradients[index] * direction) == pytest.approx((loss(1e-5) - loss(-1e-5)) / 2e-5, rel=1e-7)


def test_keras_network_is_the_same(data):
    """The Keras model computes the loss of the NumPy network."""
    model = networks.keras_model(seed=0)
    x, y = data[0]
    error = model.predict_on_batch(x.astype("float32")) - y
    assert np.mean(error**2) == pytest.approx(gradients_of(data[0])[0], rel=1e-5)


class SetByHand(keras.callbacks.Callback):
    """Sets an uncompiled optimizer's hyperparameters to those of the step before each batch."""

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
    """Return the weights after one epoch over the batches; compiled, unless a callback is to be heard each step."""
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


def literally(name, config):
    """Return the configuration of the oracle that does what Keras does under a changing beta_1."""
    corrected = name in {"Adam", "AdamW", "Adamax", "Lamb", "Muon"}
    return config | {"bias_correction": "power"} if corrected else config


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
