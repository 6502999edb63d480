"""Checkpoints and saved models of scheduled optimizers are those of plain ones."""

import json
import warnings

import keras
import numpy as np
import pytest
from oracles import networks

import onecycle

# Keras 3.15 reads variables in a way that NumPy 2 deprecates. onecycle has no part in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

BACKEND = keras.backend.backend()
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow only")

CASES = {
    "SGD": {"learning_rate": 0.05, "momentum": 0.75},
    "AdamW": {"learning_rate": 0.01, "beta_1": 0.75, "weight_decay": 0.25},
    "Nadam": {"learning_rate": 0.01, "beta_1": 0.75},
    "Muon": {"learning_rate": 0.01, "momentum": 0.75, "adam_beta_1": 0.625, "weight_decay": 0.125},
}
CYCLE = onecycle.OneCycle(0.1, 12)
each_case = pytest.mark.parametrize("name", CASES)


@each_case
def test_weights_files_load_both_ways(name, tmp_path):
    """A weights file of a plain model loads into a scheduled one and back, with all variables and without a warning."""
    plain, scheduled = trained(name, scheduled=False), trained(name, scheduled=True)
    for source, target, steps in [(plain, scheduled, 5), (scheduled, plain, 7)]:
        fit(source, 2)
        source.save_weights(tmp_path / "of.weights.h5")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            target.load_weights(tmp_path / "of.weights.h5")
        assert_same_variables(source, target)
        assert steps_of(target) == steps


@pytest.fixture(scope="module")
def loaded_elsewhere(tmp_path_factory, python):
    """What a process that cannot import onecycle reads from models saved during and after a cycle."""
    folder = tmp_path_factory.mktemp("saved")
    models = {}
    for name in CASES:
        model = models[f"{name}-during"] = trained(name, scheduled=True)
        model.save(folder / f"{name}-during.keras")
        onecycle.unschedule_hyperparameters(model)
        model.save(folder / f"{name}-after.keras")
        models[f"{name}-after"] = model
    found = json.loads(python(LOADER, folder).stdout.splitlines()[-1])
    return {case: (models[case], found[case]) for case in models}


@pytest.mark.one_backend
@each_case
@pytest.mark.parametrize("when", ["during", "after"])
def test_saved_model_loads_where_onecycle_is_missing(name, when, loaded_elsewhere):
    """Plain Keras loads a model saved during or after a cycle completely, with its original hyperparameters."""
    model, found = loaded_elsewhere[f"{name}-{when}"]
    assert found["config"] == {key: pytest.approx(value) for key, value in CASES[name].items()}
    assert found["iterations"] == 3
    assert found["warnings"] == []
    assert networks.distance(map(np.array, found["weights"]), model.get_weights()) == 0
    assert found["optimizer"] == [as_list(variable) for variable in model.optimizer.variables]
    assert found["steps in the end"] == (4 if when == "during" else 3), "the loaded model cannot be trained"


@pytest.mark.one_backend
@pytest.mark.parametrize("name", ["AdamW"])
def test_training_continues_after_loading(name, tmp_path):
    """A scheduled model that is saved, loaded and scheduled again ends with the weights of an uninterrupted one."""
    model, whole = trained(name, scheduled=True), trained(name, scheduled=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    schedule(loaded)
    fit(loaded, 9, start=3)
    fit(whole, 9, start=3)
    assert networks.distance(loaded.get_weights(), whole.get_weights()) < 1e-6


@pytest.mark.parametrize("wrapper", ["LossScaleOptimizer", "MultiOptimizer"])
def test_wrapped_optimizers_are_saved_plain(wrapper, tmp_path):
    """A scheduled optimizer inside a wrapper is loaded with its original hyperparameters and its step counter."""
    if not hasattr(keras.optimizers, wrapper):
        pytest.skip("new in Keras 3.15")
    inner = keras.optimizers.SGD(0.05, momentum=0.75)
    wrapped = inner if wrapper == "LossScaleOptimizer" else keras.optimizers.OptimizerMap(inner)
    model = networks.keras_model(seed=0)
    model.compile(getattr(keras.optimizers, wrapper)(wrapped), "mse")
    schedule(model)
    fit(model, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same_variables(model, loaded)
    (inner,) = [loaded.optimizer.inner_optimizer] if wrapper == "LossScaleOptimizer" else loaded.optimizer.optimizers
    assert (read(inner.learning_rate), inner.momentum) == (pytest.approx(0.05), 0.75)


@on_tensorflow
def test_tensorflow_checkpoint(tmp_path):
    """A `tf.train.Checkpoint` of a scheduled model is restored completely into a plain one."""
    import tensorflow as tf

    scheduled, plain = trained("AdamW", scheduled=True), trained("AdamW", scheduled=False)
    path = tf.train.Checkpoint(model=scheduled).save(str(tmp_path / "checkpoint"))
    fit(plain, 2)
    tf.train.Checkpoint(model=plain).restore(path).assert_consumed()
    assert_same_variables(scheduled, plain)


@on_tensorflow
def test_export(tmp_path):
    """A model exported during a cycle makes the same predictions."""
    import tensorflow as tf

    model = trained("AdamW", scheduled=True)
    model.export(tmp_path / "exported", verbose=False)
    x, _ = networks.stacked(networks.batches(seed=2, n=1))
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(exported.serve(x), model.predict(x, verbose=0), rtol=1e-5)


# A program that cannot import onecycle. It prints one line of JSON.
LOADER = """
import json, pathlib, sys, warnings
sys.modules["onecycle"] = None
import keras, numpy
NAMES = "learning_rate", "momentum", "beta_1", "adam_beta_1", "weight_decay"

def read(variable):
    return keras.ops.convert_to_numpy(variable.value).tolist()

def look(path):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model = keras.models.load_model(path)
    optimizer, config = model.optimizer, model.optimizer.get_config()
    found = {
        "config": {key: config[key] for key in NAMES if config.get(key) is not None},
        "iterations": int(read(optimizer.iterations)),
        "warnings": [str(warning.message) for warning in seen if "__array__" not in str(warning.message)],
        "weights": [weight.tolist() for weight in model.get_weights()],
        "optimizer": [read(variable) for variable in optimizer.variables],
    }
    if path.stem.endswith("during"):
        model.fit(numpy.ones((16, 4), "float32"), numpy.ones((16, 1), "float32"), verbose=0)
    return found | {"steps in the end": int(read(optimizer.iterations))}

found = {path.stem: look(path) for path in pathlib.Path(sys.argv[1]).glob("*.keras")}
assert sys.modules["onecycle"] is None
print(json.dumps(found))
"""


def trained(name, *, scheduled):
    """Return the small network after three steps."""
    model = networks.keras_model(seed=0)
    model.compile(getattr(keras.optimizers, name)(**CASES[name]), "mse")
    if scheduled:
        schedule(model)
    fit(model, 3)
    return model


def schedule(model):
    """Schedule every hyperparameter of the optimizer."""
    decay = onecycle.WarmupLinearDecay(0.1, 12)
    onecycle.schedule_hyperparameters(model, learning_rate=CYCLE, momentum=CYCLE.momentum(), weight_decay=decay)


def fit(model, steps, start=0):
    """Train on that many of the fixed batches."""
    x, y = networks.stacked(networks.batches(seed=1, n=20)[start : start + steps])
    model.fit(x, y, batch_size=networks.BATCH_SIZE, shuffle=False, verbose=0)


def assert_same_variables(first, second):
    """Check that two models and their optimizers have the same variables."""
    for one, other in ((first, second), (first.optimizer, second.optimizer)):
        assert len(one.variables) == len(other.variables)
        assert [as_list(variable) for variable in one.variables] == [as_list(variable) for variable in other.variables]


def steps_of(model):
    """Return the optimizer's step counter."""
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations.value))


def as_list(variable):
    """Return a variable as nested lists."""
    return keras.ops.convert_to_numpy(variable.value).tolist()


def read(value):
    """Return a scalar tensor, variable or number as a float."""
    return float(keras.ops.convert_to_numpy(value))
