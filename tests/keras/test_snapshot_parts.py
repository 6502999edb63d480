"""A range test leaves no trace in rarer cases: models without weights, saved files, state of PyTorch."""

import functools

import keras
import numpy as np
import pytest
from oracles import states

import onecycle


def data(classes=None):
    """Return arrays that a small network can learn."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(262, 4)).astype("float32")
    y = (np.sin(x[:, :1]) + x[:, 1:2]).astype("float32")
    return x, (np.eye(classes)[(x[:, 0] > 0) + 0].astype("float32") if classes else y)


def dense(optimizer="sgd", **compiled):
    """Return a small compiled model with weights."""
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", **compiled)
    return model


class Subclassed(keras.Model):
    """A model whose weights are created by its first batch."""

    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(8, activation="relu")
        self.drop = keras.layers.Dropout(0.2)
        self.out = keras.layers.Dense(1)

    def call(self, inputs, training=False):
        return self.out(self.drop(self.hidden(inputs), training=training))


def unbuilt_sequential():
    """Return a Sequential model without an input shape."""
    return keras.Sequential(
        [keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    )


@pytest.mark.parametrize("build", [Subclassed, unbuilt_sequential])
def test_a_model_without_weights_gets_the_same_weights(build):
    """The model stays built, its optimizer does not, and training gives the same bits as without a test."""
    trained = []
    for tested in (False, True):
        keras.utils.set_random_seed(7)
        model = build()
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
        if tested:
            onecycle.find_learning_rate(model, *data(), num_steps=30, verbose=0)
            assert model.built
            assert not model.optimizer.built
        model.fit(*data(), batch_size=16, epochs=2, verbose=0)
        trained.append(states.of_model(model))
    assert states.difference(*trained) == []


def test_saving_and_loading_work_afterwards(tmp_path):
    """A model that is tested, trained, saved and loaded has every variable, and trains on like the saved model."""
    model = dense(keras.optimizers.Adam(0.01))
    onecycle.find_learning_rate(model, *data(), num_steps=30, verbose=0)
    model.fit(*data(), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert states.difference(states.of_model(model), {**states.of_model(loaded), "metrics": []}) == [
        f"metrics: {len(model.metrics_variables)} and 0 variables"
    ]
    for one in (model, loaded):
        one.fit(*data(), shuffle=False, verbose=0)
    assert states.difference(states.of_model(model), states.of_model(loaded)) == []


def test_checkpoints_of_tensorflow_work_afterwards(tmp_path):
    """`tf.train.Checkpoint` writes and reads the variables of an optimizer that was first built by a test."""
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow only")
    model = dense(keras.optimizers.Adam(0.01))
    onecycle.find_learning_rate(model, *data(), num_steps=30, verbose=0)
    model.fit(*data(), verbose=0)
    before = states.of_model(model)
    saved = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(str(tmp_path / "checkpoint"))
    model.fit(*data(), verbose=0)
    assert states.difference(before, states.of_model(model))
    status = tf.train.Checkpoint(model=model, optimizer=model.optimizer).restore(saved)
    status.assert_existing_objects_matched()
    after = states.of_model(model)
    assert states.difference({**before, "metrics": []}, {**after, "metrics": []}) == []


@pytest.mark.parametrize("given", ["instance", "function"])
def test_metrics_that_build_themselves_are_unbuilt_again(given):
    """A metric that creates its variables in the first batch has none after the test, and is correct afterwards."""
    f1 = keras.metrics.F1Score(average="micro") if given == "instance" else "accuracy"
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=[f1], weighted_metrics=["accuracy"])
    before = len(model.metrics_variables)
    onecycle.find_learning_rate(model, *data(classes=2), num_steps=30, verbose=0)
    assert len(model.metrics_variables) == before
    if given == "instance":
        assert not f1._built
    logs = model.evaluate(*data(classes=2), verbose=0, return_dict=True)
    share = np.mean(np.argmax(model.predict(data()[0], verbose=0), 1) == (data()[0][:, 0] > 0))
    # For two exclusive classes the micro-averaged F1 score is the accuracy.
    assert logs["f1_score" if given == "instance" else "accuracy"] == pytest.approx(share, abs=1e-6)


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="needs a MultiOptimizer")
def test_several_optimizers_are_restored():
    """A `MultiOptimizer` that selects its optimizers when it is built trains the same after a test."""
    trained = []
    for tested in (False, True):
        model = dense()
        kernels, biases = keras.optimizers.SGD(0.05, momentum=0.9), keras.optimizers.Adam(0.01)
        choose = functools.partial(lambda one, other, v: one if v.name == "kernel" else other, kernels, biases)
        model.compile(keras.optimizers.MultiOptimizer(choose), "mse")
        if tested:
            onecycle.find_learning_rate(model, *data(), num_steps=30, verbose=0)
            assert not kernels.built
        model.fit(*data(), epochs=2, verbose=0)
        trained.append(states.of_model(model))
    assert states.difference(*trained) == []


def test_modes_and_gradients_of_pytorch_are_restored():
    """On PyTorch each module's `training` and each parameter's `grad` are the same after a test."""
    if keras.backend.backend() != "torch":
        pytest.skip("PyTorch only")
    model = dense()
    model.train()
    model.layers[0].eval()
    kernel = model.layers[0].kernel.value
    kernel.grad = gradient = kernel.detach() * 2
    onecycle.find_learning_rate(model, *data(), num_steps=30, verbose=0)
    assert [model.training, model.layers[0].training, model.layers[1].training] == [True, False, True]
    assert kernel.grad is gradient
    assert np.array_equal(gradient, 2 * kernel.detach())
    assert model.layers[1].kernel.value.grad is None


def test_mixed_precision_is_restored():
    """A `mixed_float16` model trains the same after a test, with the same scale of its loss."""
    trained = []
    for tested in (False, True):
        keras.utils.set_random_seed(7)
        layer = keras.layers.Dense(8, "relu", dtype="mixed_float16")
        policy = keras.dtype_policies.DTypePolicy("mixed_float16")
        model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(1, dtype="float32")])
        model.dtype_policy = policy
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        if tested:
            onecycle.find_learning_rate(model, *data(), num_steps=30, verbose=0)
        model.fit(*data(), epochs=2, verbose=0)
        trained.append(states.of_model(model))
    assert states.difference(*trained) == []
