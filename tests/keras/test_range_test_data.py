"""`find_learning_rate` takes every kind of data that `Model.fit` takes, and every kind of model."""

import itertools

import keras
import numpy as np
import pytest
from oracles import states

import onecycle
from onecycle.results import StopReason

ops = keras.ops
STEPS = 24
BATCH = 8


def arrays(batches=12):
    """Inputs and targets that a linear model can learn."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(batches * BATCH, 4)).astype("float32")
    return x, (x[:, :1] - x[:, 1:2]).astype("float32")


def pairs(batches=12):
    """The arrays as a list of batches."""
    x, y = arrays(batches)
    return [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(x), BATCH)]


class Batches(keras.utils.PyDataset):
    """Batches by index."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return pairs()[index]


def dataset(known=True):
    """A `tf.data.Dataset` of twelve batches."""
    import tensorflow as tf

    found = tf.data.Dataset.from_tensor_slices(arrays()).batch(BATCH)
    return found if known else found.filter(lambda *batch: True)


def loader():
    """A PyTorch `DataLoader`."""
    import torch

    data = torch.utils.data.TensorDataset(*map(torch.tensor, arrays()))
    return torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True)


def linear(model_class=keras.Model, **compiled):
    """A linear model, compiled."""
    inputs = keras.Input((4,))
    model = model_class(inputs, keras.layers.Dense(1)(inputs))
    model.compile(keras.optimizers.SGD(0.01), **{"loss": "mse", **compiled})
    return model


def find(model, *data, **options):
    """A short test that does not diverge."""
    arguments = {"num_steps": STEPS, "min_learning_rate": 1e-4, "max_learning_rate": 0.05, "verbose": 0, **options}
    return onecycle.find_learning_rate(model, *data, **arguments)


KINDS = {
    "arrays": lambda: arrays(),
    "dataset": lambda: (dataset(),),
    "dataset of unknown length": lambda: (dataset(known=False),),
    "PyDataset": lambda: (Batches(),),
    "DataLoader": lambda: (loader(),),
    "endless generator": lambda: ((pair for pair in itertools.cycle(pairs())),),
    "other tensors": lambda: [ops.convert_to_tensor(array) for array in arrays()],
}


@pytest.mark.parametrize("kind", KINDS)
def test_data_of_every_kind_is_taken(kind):
    """Twice twelve batches give their true losses, every one of them once a round."""
    model, data = linear(), KINDS[kind]()
    options = {"batch_size": BATCH} if len(data) == 2 else {}
    result = find(model, *data, **options, min_learning_rate=1e-9, max_learning_rate=1e-8)
    assert (len(result.losses), result.stop_reason) == (STEPS, StopReason.COMPLETED)
    kernel = model.get_weights()[0].astype("float64")
    expected = [np.mean((x @ kernel - y) ** 2) for x, y in pairs()]
    # The rates are too low to change anything, so that each round through the data has its mean loss.
    assert result.losses[:12].mean() == pytest.approx(np.mean(expected), rel=1e-5)
    assert result.losses[12:].mean() == pytest.approx(np.mean(expected), rel=1e-5)
    if "generator" in kind or "dataset" in kind:
        np.testing.assert_allclose(result.losses, [*expected, *expected], rtol=1e-5)
    assert result.batch_size == (BATCH if len(data) == 2 else None)


@pytest.mark.parametrize("per_execution", [None, "auto"])
def test_a_finite_generator_ends_the_test(per_execution):
    """What a one-shot generator gives is used once; the result says that the data ended."""
    result = find(linear(), (pair for pair in pairs()), steps_per_execution=per_execution)
    assert result.stop_reason is StopReason.DATA_ENDED
    assert len(result.losses) == 12


def test_data_of_unknown_length_is_read_again_a_step_at_a_time():
    """Where each call does one step, its end is met between two of them, and the next round goes on unharmed."""
    options = {"min_learning_rate": 1e-9, "max_learning_rate": 1e-8, "num_steps": 30, "steps_per_execution": None}
    model = linear()
    result = find(model, dataset(known=False), **options)
    kernel = model.get_weights()[0].astype("float64")
    expected = [np.mean((x @ kernel - y) ** 2) for x, y in pairs()]
    np.testing.assert_allclose(result.losses, (3 * expected)[:30], rtol=1e-5)
    np.testing.assert_allclose(result.learning_rates, np.geomspace(1e-9, 1e-8, 30))


def test_nested_inputs_and_outputs():
    """Dicts of inputs, lists of targets and a loss for each output."""
    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    joined = keras.layers.Concatenate()([first, second])
    outputs = [keras.layers.Dense(1, name="one")(joined), keras.layers.Dense(2, name="two")(joined)]
    model = keras.Model({"first": first, "second": second}, outputs)
    model.compile("sgd", loss=["mse", "mae"], loss_weights=[1.0, 0.5], metrics=[["mae"], ["mse"]])
    x, y = arrays()
    inputs, targets = {"first": x, "second": -x}, [y, np.concatenate([y, -y], axis=1)]
    one, two = model.predict({name: value[:BATCH] for name, value in inputs.items()}, verbose=0)
    before = states.of_model(model)
    result = find(model, *({name: value[:BATCH] for name, value in inputs.items()}, [t[:BATCH] for t in targets]))
    expected = np.mean((one - targets[0][:BATCH]) ** 2) + 0.5 * np.mean(np.abs(two - targets[1][:BATCH]))
    assert result.losses[0] == pytest.approx(expected, rel=1e-5)
    assert states.difference(before, states.of_model(model)) == []


class OwnLoss(keras.Model):
    """Its loss is twice the mean absolute error."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return 2.0 * ops.mean(ops.abs(y_pred - y))


class OldLoss(keras.Model):
    """The same, written before Keras 3.3 had the argument `training`."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        return 2.0 * ops.mean(ops.abs(y_pred - y))


class OwnMetrics(OwnLoss):
    """It lists the metrics that are reset and reported itself."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.mine = keras.metrics.Mean(name="mine")

    @property
    def metrics(self):
        return [self._loss_tracker, self.mine]


class OwnStep(OwnLoss):
    """Its training step does a thing of its own and leaves the rest to Keras."""

    def train_step(self, *args):
        return super().train_step(*args)


@pytest.mark.parametrize("kind", [OwnLoss, OldLoss, OwnMetrics, OwnStep])
def test_losses_of_ones_own_are_recorded(kind):
    """An overridden `compute_loss`, old or new, beside overridden `metrics`, and a `train_step` that calls it."""
    model = linear(kind, loss=None)
    expected = 2 * np.mean(np.abs(model.predict(arrays()[0][:BATCH], verbose=0) - arrays()[1][:BATCH]))
    result = find(model, *(array[:BATCH] for array in arrays()))
    assert result.losses[0] == pytest.approx(expected, rel=1e-5)
    assert len(result.losses) == STEPS


class Silent(keras.Model):
    """Its training step computes a loss of its own and tells nobody."""

    def train_step(self, *args):
        data = args[-1]
        if keras.backend.backend() == "jax":
            logs, state = {"loss": ops.mean(data[0])}, args[0]
            return logs, state
        return {"loss": ops.mean(data[0])}


class Twice(OwnLoss):
    """Its loss asks Keras' loss function once more by the public name."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if training is None:
            return super().compute_loss(x, y, y_pred, sample_weight)
        return self.compute_loss(x, y, y_pred, sample_weight, training=None)


@pytest.mark.parametrize(("kind", "told"), [(Silent, "saw no loss"), (Twice, r"saw \d+ losses in \d+ updates")])
@pytest.mark.parametrize("steps", [STEPS, 10])
def test_a_step_whose_loss_is_not_seen_is_refused(kind, told, steps):
    """Without a call of `compute_loss`, or with more than one a step, an error says so, and nothing has changed."""
    model = linear(kind)
    before, attributes = states.of_model(model), set(vars(model))
    with pytest.raises(ValueError, match=told):
        find(model, *arrays(), batch_size=BATCH, num_steps=steps)
    assert states.difference(before, states.of_model(model)) == []
    assert set(vars(model)) == attributes


def test_on_jax_a_step_that_loses_the_state_is_refused():
    """A `train_step` that calls `compute_loss` outside of what JAX keeps state in is told what to call."""
    if keras.backend.backend() != "jax":
        pytest.skip("of JAX")
    import jax

    class Outside(keras.Model):
        def train_step(self, state, data):
            x, y = data[:2]

            def loss(trainable):
                y_pred, others = self.stateless_call(trainable, state[1], x)
                return self.compute_loss(x, y, y_pred), others

            (value, others), gradients = jax.value_and_grad(loss, has_aux=True)(state[0])
            trainable, optimizer = self.optimizer.stateless_apply(state[2], gradients, state[0])
            return {"loss": value}, (trainable, others, optimizer, state[3])

    model = linear(Outside)
    model.fit(*arrays(), verbose=0)
    before = states.of_model(model)
    with pytest.raises(ValueError, match="compute_loss_and_updates"):
        find(model, *arrays())
    assert states.difference(before, states.of_model(model)) == []


def test_updates_skipped_by_loss_scaling_are_left_out():
    """Under a loss scale that overflows, each rate has the loss of the batch that was applied with it."""
    model = linear()
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), initial_scale=2.0**126)
    model.compile(scaled, "mse")
    x, y = arrays()
    result = find(model, x, 8 * y, batch_size=BATCH)
    assert np.all(np.diff(result.learning_rates) > 0)
    np.testing.assert_allclose(result.learning_rates, np.geomspace(1e-4, 0.05, STEPS)[: len(result.learning_rates)])
    assert 10 < len(result.losses) < STEPS
    assert np.isfinite(result.losses).all()
