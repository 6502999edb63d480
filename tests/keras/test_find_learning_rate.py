"""Tests of `find_learning_rate`: the recorded losses are the true losses of the batches."""

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.optimizers import make

import onecycle
from onecycle.keras_support.loss_capture import LossRecorder
from onecycle.results import StopReason

STEPS = 24  # nearly two and a half epochs of 10 batches, the last of them short
ROWS = 9 * networks.BATCH_SIZE + 5
LAST = 0.05

one_step_only = pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch allows one step per execution")


@pytest.fixture(scope="module")
def arrays():
    """Return ten batches as two arrays, the last batch short."""
    x, y = networks.stacked(networks.batches(seed=3, n=10))
    return x[:ROWS], y[:ROWS]


def in_order(*arrays):
    """Return the arrays as a dataset in a fixed order; Keras shuffles arrays and the batches of a `PyDataset`."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays).batch(networks.BATCH_SIZE)


def batch(arrays, step):
    """Return the batch of a step, in float64."""
    first = step % 10 * networks.BATCH_SIZE
    return [array[first : first + networks.BATCH_SIZE].astype("float64") for array in arrays]


def compiled(**options):
    """Return the network that has a NumPy transcription, compiled with SGD and momentum."""
    model = networks.keras_model(seed=2)
    accumulation = options.pop("gradient_accumulation_steps", None)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, gradient_accumulation_steps=accumulation)
    model.compile(optimizer, "mse", **options)
    return model


def find(model, *data, **options):
    """Run a range test of `STEPS` steps that does not diverge."""
    arguments = {"num_steps": STEPS, "min_learning_rate": 1e-4, "max_learning_rate": LAST, "verbose": 0, **options}
    return onecycle.find_learning_rate(model, *data, **arguments)


def reference(arrays, accumulation=1, spacing="exponential"):
    """Return the learning rates and losses of the same range test, computed batch by batch in float64."""
    batches = [batch(arrays, step) for step in range(STEPS * accumulation)]
    ends = (1e-4, LAST)
    rates = np.geomspace(*ends, STEPS) if spacing == "exponential" else np.linspace(*ends, STEPS)
    accumulated = None if accumulation == 1 else accumulation
    oracle = make("SGD", learning_rate=0.01, momentum=0.9, gradient_accumulation_steps=accumulated)
    start, each_batch = networks.initial_weights(2), np.repeat(rates, accumulation)
    _, losses = networks.train(oracle, start, batches, learning_rate=lambda step: each_batch[step])
    return rates, np.reshape(losses, (STEPS, accumulation)).mean(axis=1)


@pytest.mark.parametrize("spacing", ["exponential", "linear"])
@pytest.mark.parametrize("per_execution", [None, "auto", pytest.param(4, marks=one_step_only)])
def test_losses_equal_those_of_a_float64_transcription(arrays, per_execution, spacing):
    """The losses of all batches, a short last one included, equal those of a float64 transcription."""
    rates, losses = reference(arrays, spacing=spacing)
    result = find(compiled(), in_order(*arrays), steps_per_execution=per_execution, spacing=spacing)
    np.testing.assert_allclose(result.learning_rates, rates, rtol=1e-12)
    np.testing.assert_allclose(result.losses, losses, rtol=1e-6)
    assert (result.stop_reason, result.spacing, result.num_steps) == (StopReason.COMPLETED, spacing, STEPS)


def test_losses_are_true_with_gradient_accumulation(arrays):
    """With gradient accumulation, all micro-batches of an update have one rate, and its loss is their mean loss."""
    rates, losses = reference(arrays, accumulation=4)
    result = find(compiled(gradient_accumulation_steps=4), in_order(*arrays))
    np.testing.assert_allclose(result.losses, losses, rtol=1e-6)
    np.testing.assert_allclose(result.learning_rates, rates)
    assert result.training_steps >= 4 * STEPS


def first_loss(model, x, y, weight=1.0):
    """Return the weighted mean squared error of a batch and the squared norm of the first kernel, in float64."""
    kernel, *_ = weights = [np.asarray(w, "float64") for w in model.get_weights()]
    hidden = np.tanh(x @ kernel + weights[1])
    return np.mean(weight * (hidden @ weights[2] + weights[3] - y) ** 2), np.sum(kernel**2)


def test_losses_include_sample_weights_and_regularizers(arrays):
    """A loss is weighted by the sample weights and includes the regularization losses of the layers."""
    x, y = (array[: networks.BATCH_SIZE] for array in arrays)
    weight = np.linspace(0, 3, len(x)).astype("float32")
    model = compiled()
    model.layers[0].kernel_regularizer = keras.regularizers.L2(0.1)
    model.layers[0].kernel.regularizer = model.layers[0].kernel_regularizer
    loss, squares = first_loss(model, x.astype("float64"), y, weight[:, None])
    found = find(model, x, y, sample_weight=weight, batch_size=len(x)).losses[0]
    assert found == pytest.approx(loss + 0.1 * squares, rel=1e-6)
    assert found != pytest.approx(first_loss(model, x, y)[0] + 0.1 * squares, rel=1e-3)


def test_losses_are_weighted_by_classes():
    """`class_weight` multiplies the losses of the rows of each class."""
    rng = np.random.default_rng(4)
    x, labels = rng.normal(size=(32, 4)).astype("float32"), np.arange(32) % 2
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    kernel, bias = (weight.astype("float64") for weight in model.get_weights())
    scores = x @ kernel + bias
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    expected = -np.mean(np.where(labels, 5.0, 1.0) * logs[np.arange(32), labels])
    found = find(model, x, labels, class_weight={0: 1.0, 1: 5.0}).losses[0]
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("per_execution", [None, pytest.param(8, marks=one_step_only)])
def test_losses_are_read_in_chunks(arrays, per_execution, monkeypatch):
    """In 96 steps the losses are fetched from the device at most 16 times."""
    reads = []
    original = LossRecorder.read
    monkeypatch.setattr(LossRecorder, "read", lambda *args: (reads.append(1), original(*args))[1])
    result = find(compiled(), in_order(*arrays), num_steps=96, steps_per_execution=per_execution)
    assert len(result.losses) == 96
    assert 2 <= len(reads) <= 16


def test_validation_steps_are_not_recorded(arrays):
    """With validation data only the loss after each training step is recorded, not the losses of the evaluation."""
    model = compiled()
    evaluated = find(model, in_order(*arrays), validation_data=tuple(array[:7] for array in arrays))
    rates, _ = reference(arrays)
    assert len(evaluated.losses) == STEPS
    np.testing.assert_allclose(evaluated.learning_rates, rates)
    weights = networks.initial_weights(2)
    oracle = make("SGD", learning_rate=0.01, momentum=0.9)
    for step, loss in enumerate(evaluated.losses):
        x, y = batch(arrays, step)
        _, gradients = networks.loss_and_gradients(weights, x, y)
        weights = oracle.step(weights, gradients, rates[step])
        expected, _ = networks.loss_and_gradients(weights, *(array[:7] for array in arrays))
        assert loss == pytest.approx(expected, rel=2e-6)
