"""The models of the tasks: they never change, their weights are reproducible, and they learn."""

import keras
import numpy as np
import pytest

from onecycle.tasks import load_task, models
from onecycle.tasks.task import Task

pytestmark = pytest.mark.one_backend

# The models never change, so that results of different versions of onecycle are comparable.
WEIGHTS = {"digits": 13_706, "boston-housing": 5_121, "fashion-mnist": 207_066, "cifar10": 505_450}
SHAPES = {"digits": (8, 8, 1), "boston-housing": (13,), "fashion-mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


@pytest.mark.parametrize("name", WEIGHTS)
def test_models_are_fixed(name):
    """Each model is compiled and has a fixed input shape and number of weights."""
    model = models.build(name, seed=0, optimizer=None)

    assert model.compiled
    assert model.input_shape == (None, *SHAPES[name])
    assert model.count_params() == WEIGHTS[name]


def test_default_optimizer():
    """The default optimizer is SGD with the default learning rate of Keras and momentum 0.9."""
    optimizer = models.build("boston-housing", seed=None, optimizer=None).optimizer

    assert isinstance(optimizer, keras.optimizers.SGD)
    assert float(optimizer.learning_rate) == pytest.approx(keras.optimizers.SGD().get_config()["learning_rate"])
    assert optimizer.momentum == 0.9


def test_given_optimizer():
    """The model is compiled with the given optimizer."""
    optimizer = keras.optimizers.Adam(1e-3)

    assert models.build("digits", seed=None, optimizer=optimizer).optimizer is optimizer


@pytest.mark.lower_bound
def test_seed_sets_the_initial_weights():
    """Two models built with the same seed have the same initial weights; another seed gives other weights."""
    first, second, other = (models.build("digits", seed=seed, optimizer=None).get_weights() for seed in (1, 1, 2))

    assert all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.lower_bound
def test_digits_model_learns():
    """After two epochs of SGD the test accuracy on the digits is at least 85 %."""
    task = load_task("digits")
    (x, y), test = task.data
    model = task.build(seed=0)
    model.fit(x, y, epochs=2, batch_size=task.batch_size, verbose=0)

    assert model.evaluate(*test, verbose=0, return_dict=True)[task.metric] >= 0.85


def test_boston_model_learns(data_dir):
    """Ten epochs with learning rate 0.001 lower the mean absolute error on the test rows from 22 to below 4."""
    task = load_task("boston-housing", data_dir)
    (x, y), test = task.data
    model = task.build(seed=0, optimizer=keras.optimizers.SGD(1e-3, momentum=0.9))
    model.fit(x, y, epochs=10, batch_size=task.batch_size, verbose=0)

    assert model.evaluate(*test, verbose=0, return_dict=True)[task.metric] < 4


@pytest.mark.parametrize("name", ["fashion-mnist", pytest.param("cifar10", marks=pytest.mark.long)])
def test_image_models_learn(name, data_dir):
    """On real images, the training loss of the second 30 steps is at least 5 % lower than that of the first 30."""
    task = load_task(name, data_dir)
    (x, y), _ = task.data
    model = task.build(seed=0)
    first, second = model.fit(x[:960], y[:960], epochs=2, batch_size=task.batch_size, verbose=0).history["loss"]

    assert second < 0.95 * first


def test_task_is_frozen():
    """A task cannot be changed, and its `repr` does not show the data."""
    task = load_task("digits")

    with pytest.raises(AttributeError):
        task.batch_size = 64
    assert repr(task) == "Task(name='digits', metric='accuracy', batch_size=32)"
    assert isinstance(task, Task)
