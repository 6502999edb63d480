"""The private names of Keras' models and of what `compile` makes that onecycle uses; see test_keras_support."""

import copy

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.small_fits import compiled, fit

from onecycle.keras_support.copying import is_being_copied
from onecycle.keras_support.model_checks import check_targets
from onecycle.keras_support.model_state import (
    flattened_layers,
    is_loss_tracker,
    loss_and_metrics,
    updated_metrics,
)
from onecycle.keras_support.optimizers import raw_step
from onecycle.keras_support.snapshot import preserving
from onecycle.keras_support.train_function import (
    build_symbolically,
    overridden_method,
    set_steps_per_execution,
    training_arrays,
)

# Keras 3.15 reads variables in a way that NumPy 2 deprecates. onecycle has no part in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

BACKEND = keras.backend.backend()


def batch(rows=networks.BATCH_SIZE):
    """Return the inputs and targets of some rows."""
    x, y = networks.stacked(networks.batches(seed=1, n=1))
    return x[:rows], y[:rows]


def test_flattened_layers():
    """`_flatten_layers` lists the model, its layers and the layers inside inner models."""
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(1)])
    kinds = [
        type(layer).__name__ for layer in flattened_layers(model) if not isinstance(layer, keras.layers.InputLayer)
    ]
    assert kinds == ["Sequential", "Sequential", "Dense", "Dense"]
    assert [*flattened_layers(model, include_self=False)] == flattened_layers(model)[1:]


def test_the_loss_tracker():
    """`_loss_tracker` is the metric called loss."""
    model = compiled(keras.optimizers.SGD(), metrics=["mae"])
    fit(model)
    assert [metric.name for metric in model.metrics if is_loss_tracker(model, metric)] == ["loss"]


@pytest.mark.parametrize("loss", ["mse", keras.losses.MeanSquaredError(), ["mse"], None])
def test_the_loss_that_the_user_gave(loss):
    """`_user_loss` of the compiled loss is the argument of `compile`: a name, an object or a container."""
    model = networks.keras_model(seed=0)
    model.compile(keras.optimizers.SGD(), loss)
    compiled_loss = loss_and_metrics(model)[0]
    assert loss is None if compiled_loss is None else compiled_loss._user_loss == loss
    if loss is None or isinstance(loss, list):
        check_targets(model, None)
    else:
        with pytest.raises(ValueError, match="must have the targets"):
            check_targets(model, None)


@pytest.mark.parametrize("kind", ["model", "optimizer"])
def test_copies_are_made_by_reduce(kind):
    """Models and optimizers are copied by the same `__reduce__`, which saves them. `get_config` alone is no copy."""
    noticed = []

    class Noticing(keras.optimizers.SGD):
        def get_config(self):
            noticed.append(is_being_copied())
            return super().get_config()

    model = compiled(Noticing())
    with keras.saving.custom_object_scope({"Noticing": Noticing}):
        copy.deepcopy(model if kind == "model" else model.optimizer)
        assert noticed
        assert all(noticed)
        noticed.clear()
        model.optimizer.get_config()
    assert noticed == [False]


@pytest.mark.skipif(BACKEND != "jax", reason="JAX only")
def test_updated_metrics():
    """`_update_metrics_variables` returns the new values of the metrics' variables, the mean loss included."""
    model = compiled(keras.optimizers.SGD(), metrics=["mae"])
    fit(model)
    model.reset_metrics()
    x, y = batch()
    before = [variable.value for variable in model.metrics_variables]
    after = updated_metrics(model, before, keras.ops.convert_to_tensor(2.5), x, y, y - 0.5, None)
    rows = networks.BATCH_SIZE
    assert [float(value) for value in after] == pytest.approx([2.5 * rows, rows, 0.5 * rows, rows])


def test_a_symbolic_build():
    """`_symbolic_build` builds loss, metrics and optimizer from a batch, without a training step."""
    model = compiled(keras.optimizers.SGD(momentum=0.9), metrics=["mae"])
    weights = model.get_weights()
    build_symbolically(model, (*batch(), None))
    assert all(part.built for part in loss_and_metrics(model))
    assert model.optimizer.built
    assert raw_step(model.optimizer) == 0
    assert networks.distance(model.get_weights(), weights) == 0


def test_training_arrays():
    """`ArrayDataAdapter` returns all rows in order, with class weights as sample weights."""
    x, y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 1])
    arrays = training_arrays(x, y, None, {0: 0.5, 1: 2.0})
    x_out, y_out, weights = (keras.ops.convert_to_numpy(array) for array in arrays)
    assert np.array_equal(x_out, x)
    assert np.array_equal(y_out.ravel(), y)
    assert weights.tolist() == [0.5, 2.0, 2.0]


def test_the_iterator_for_validation():
    """`_eval_epoch_iterator` exists during a `fit` with validation data, and a changed number of steps removes it."""
    model, seen = compiled(keras.optimizers.SGD()), []

    class Looking(keras.callbacks.Callback):
        def on_test_end(self, logs=None):
            seen.append("_eval_epoch_iterator" in vars(self.model))

    fit(model, callbacks=[Looking()], validate=True)
    assert seen == [True]
    if BACKEND == "torch":
        return  # allows only one step per execution
    vars(model)["_eval_epoch_iterator"] = object()
    set_steps_per_execution(model, 2)
    assert "_eval_epoch_iterator" not in vars(model)
    assert model.test_function is None


@pytest.mark.parametrize("name", ["train_step", "_update_metrics_variables", "compute_metrics"])
def test_overridden_methods(name):
    """A method of training that a subclass overrides, or that is set on the instance, is found by its name."""
    if not hasattr(keras.Model, name):
        pytest.skip("a method of JAX's trainer")
    overriding = type("Overriding", (keras.Model,), {name: lambda self, *args: None})
    assert overridden_method(overriding()) == name
    model = networks.keras_model(seed=0)
    assert overridden_method(model) is None
    vars(model)[name] = getattr(model, name)
    assert overridden_method(model) == name


def test_the_tracker_of_a_metric():
    """`_tracker.stored_ids` lists what a metric has tracked. `preserving` restores it, so a metric can build again."""
    metric = keras.metrics.F1Score(average="micro")
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=[metric])
    before = {name: set(ids) for name, ids in metric._tracker.stored_ids.items()}
    x, y = batch()

    def run():
        model.fit(x, np.hstack([y > 0, y <= 0]).astype("float32"), verbose=0)
        return {name: set(ids) for name, ids in metric._tracker.stored_ids.items()}

    tracked = preserving(model, run)
    assert tracked != before
    assert {name: set(ids) for name, ids in metric._tracker.stored_ids.items()} == before
    assert metric.variables == []


def test_the_attributes_of_a_model_that_training_sets():
    """A `fit` and an `evaluate` set the attributes that a snapshot of a model restores."""
    model = compiled(keras.optimizers.SGD())
    fit(model, validate=True)
    model.evaluate(*batch(), verbose=0)
    assert {"history", "stop_training", "stop_evaluating", "train_function", "test_function", "_initial_epoch"} <= set(
        vars(model)
    )
    assert ("_jax_state" in vars(model)) == (BACKEND == "jax")
