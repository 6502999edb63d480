"""Tests of `find_learning_rate` with every kind of data and model that `Model.fit` takes."""

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
    """Return inputs and targets that a linear model can learn."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(batches * BATCH, 4)).astype("float32")
    return x, (x[:, :1] - x[:, 1:2]).astype("float32")


def batches_of_arrays(batches=12):
    """Return the arrays as a list of batches."""
    x, y = arrays(batches)
    return [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(x), BATCH)]


class Batches(keras.utils.PyDataset):
    """The batches as a `PyDataset`."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return batches_of_arrays()[index]


def batched_dataset(known=True):
    """Return a `tf.data.Dataset` of twelve batches, of known or unknown length."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(arrays()).batch(BATCH)
    return dataset if known else dataset.filter(lambda *batch: True)


def loader():
    """Return a PyTorch `DataLoader` of twelve batches."""
    import torch

    data = torch.utils.data.TensorDataset(*map(torch.tensor, arrays()))
    return torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True)


def linear(model_class=keras.Model, **compiled):
    """Return a compiled linear model."""
    inputs = keras.Input((4,))
    model = model_class(inputs, keras.layers.Dense(1)(inputs))
    model.compile(keras.optimizers.SGD(0.01), **{"loss": "mse", **compiled})
    return model


def range_test(model, *data, **options):
    """Run a short range test that does not diverge."""
    arguments = {"num_steps": STEPS, "min_learning_rate": 1e-4, "max_learning_rate": 0.05, "verbose": 0, **options}
    return onecycle.find_learning_rate(model, *data, **arguments)


KINDS = {
    "arrays": lambda: arrays(),
    "dataset": lambda: (batched_dataset(),),
    "dataset of unknown length": lambda: (batched_dataset(known=False),),
    "PyDataset": lambda: (Batches(),),
    "DataLoader": lambda: (loader(),),
    "endless generator": lambda: ((pair for pair in itertools.cycle(batches_of_arrays())),),
    "tensors": lambda: [ops.convert_to_tensor(array) for array in arrays()],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_is_accepted(kind):
    """For each kind of data, two epochs give the true losses, each batch once per epoch."""
    model, data = linear(), KINDS[kind]()
    options = {"batch_size": BATCH} if len(data) == 2 else {}
    result = range_test(model, *data, **options, min_learning_rate=1e-9, max_learning_rate=1e-8)
    assert (len(result.losses), result.stop_reason) == (STEPS, StopReason.COMPLETED)
    kernel = model.get_weights()[0].astype("float64")
    expected = [np.mean((x @ kernel - y) ** 2) for x, y in batches_of_arrays()]
    # The learning rates are too low to change anything, so each epoch has the mean loss of the data.
    assert result.losses[:12].mean() == pytest.approx(np.mean(expected), rel=1e-5)
    assert result.losses[12:].mean() == pytest.approx(np.mean(expected), rel=1e-5)
    if "generator" in kind or "dataset" in kind:
        np.testing.assert_allclose(result.losses, [*expected, *expected], rtol=1e-5)
    assert result.batch_size == (BATCH if len(data) == 2 else None)


@pytest.mark.one_backend
@pytest.mark.parametrize("per_execution", [None, "auto"])
def test_finite_generator_ends_the_range_test(per_execution):
    """Each batch of a finite generator is used once, and the result says that the data ended."""
    result = range_test(linear(), (pair for pair in batches_of_arrays()), steps_per_execution=per_execution)
    assert result.stop_reason is StopReason.DATA_ENDED
    assert len(result.losses) == 12


@pytest.mark.one_backend
def test_dataset_of_unknown_length_is_repeated():
    """With one step per call, a dataset of unknown length is repeated, and each epoch has the true losses."""
    options = {"min_learning_rate": 1e-9, "max_learning_rate": 1e-8, "num_steps": 30, "steps_per_execution": None}
    model = linear()
    result = range_test(model, batched_dataset(known=False), **options)
    kernel = model.get_weights()[0].astype("float64")
    expected = [np.mean((x @ kernel - y) ** 2) for x, y in batches_of_arrays()]
    np.testing.assert_allclose(result.losses, (3 * expected)[:30], rtol=1e-5)
    np.testing.assert_allclose(result.learning_rates, np.geomspace(1e-9, 1e-8, 30))


@pytest.mark.one_backend
def test_nested_inputs_and_outputs():
    """A model with a dict of inputs, a list of outputs and a weighted loss for each output is tested and restored."""
    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    joined = keras.layers.Concatenate()([first, second])
    outputs = [keras.layers.Dense(1, name="one")(joined), keras.layers.Dense(2, name="two")(joined)]
    model = keras.Model({"first": first, "second": second}, outputs)
    model.compile("sgd", loss=["mse", "mae"], loss_weights=[1.0, 0.5], metrics=[["mae"], ["mse"]])
    x, y = arrays()
    inputs, targets = {"first": x, "second": -x}, [y, np.concatenate([y, -y], axis=1)]
    one, two = model.predict({name: value[:BATCH] for name, value in inputs.items()}, verbose=0)
    before = states.of_model(model)
    result = range_test(model, *({name: value[:BATCH] for name, value in inputs.items()}, [t[:BATCH] for t in targets]))
    expected = np.mean((one - targets[0][:BATCH]) ** 2) + 0.5 * np.mean(np.abs(two - targets[1][:BATCH]))
    assert result.losses[0] == pytest.approx(expected, rel=1e-5)
    assert states.difference(before, states.of_model(model)) == []


class CustomLoss(keras.Model):
    """A model whose loss is twice the mean absolute error."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return 2.0 * ops.mean(ops.abs(y_pred - y))


class LossWithoutTraining(keras.Model):
    """The same loss, without the argument `training` that Keras 3.3 added."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        return 2.0 * ops.mean(ops.abs(y_pred - y))


class CustomMetrics(CustomLoss):
    """A model that overrides `metrics`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.extra_mean = keras.metrics.Mean(name="extra_mean")

    @property
    def metrics(self):
        return [self._loss_tracker, self.extra_mean]


class CustomStep(CustomLoss):
    """A model that overrides `train_step` and calls that of Keras."""

    def train_step(self, *args):
        return super().train_step(*args)


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", [CustomLoss, LossWithoutTraining, CustomMetrics, CustomStep])
def test_custom_losses_are_recorded(kind):
    """The loss of an overridden `compute_loss` is recorded, also with overridden `metrics` or `train_step`."""
    model = linear(kind, loss=None)
    expected = 2 * np.mean(np.abs(model.predict(arrays()[0][:BATCH], verbose=0) - arrays()[1][:BATCH]))
    result = range_test(model, *(array[:BATCH] for array in arrays()))
    assert result.losses[0] == pytest.approx(expected, rel=1e-5)
    assert len(result.losses) == STEPS


class UnrecordedLoss(keras.Model):
    """A model whose training step neither calls `compute_loss` nor uses the optimizer."""

    def train_step(self, *args):
        data = args[-1]
        if keras.backend.backend() == "jax":
            logs, state = {"loss": ops.mean(data[0])}, args[0]
            return logs, state
        return {"loss": ops.mean(data[0])}


class TwoLosses(CustomLoss):
    """A model whose `compute_loss` calls itself once more."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if training is None:
            return super().compute_loss(x, y, y_pred, sample_weight)
        return self.compute_loss(x, y, y_pred, sample_weight, training=None)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("kind", "message"),
    [(UnrecordedLoss, "made no step in training"), (TwoLosses, r"saw \d+ losses in \d+ updates")],
)
@pytest.mark.parametrize("steps", [STEPS, 10])
def test_step_with_other_than_one_loss_is_refused(kind, message, steps):
    """A training step that calls `compute_loss` never or more than once is refused, and the model is unchanged."""
    model = linear(kind)
    before, attributes = states.of_model(model), set(vars(model))
    with pytest.raises(ValueError, match=message):
        range_test(model, *arrays(), batch_size=BATCH, num_steps=steps)
    assert states.difference(before, states.of_model(model)) == []
    assert set(vars(model)) == attributes


@pytest.mark.one_backend
def test_stateless_step_that_drops_the_recorder_is_refused():
    """On JAX, a `train_step` that drops the recorded loss is refused, and the error names the method to call."""
    if keras.backend.backend() != "jax":
        pytest.skip("only JAX has a stateless training step")
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
        range_test(model, *arrays())
    assert states.difference(before, states.of_model(model)) == []


def test_updates_skipped_by_loss_scaling_are_left_out():
    """Updates that loss scaling skips are left out, and each learning rate keeps the loss of its own batch."""
    model = linear()
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), initial_scale=2.0**126)
    model.compile(scaled, "mse")
    x, y = arrays()
    result = range_test(model, x, 8 * y, batch_size=BATCH)
    assert np.all(np.diff(result.learning_rates) > 0)
    np.testing.assert_allclose(result.learning_rates, np.geomspace(1e-4, 0.05, STEPS)[: len(result.learning_rates)])
    assert 10 < len(result.losses) < STEPS
    assert np.isfinite(result.losses).all()
