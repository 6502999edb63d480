"""Fixtures and settings of the tests that train. They run once for each backend, chosen by KERAS_BACKEND."""

import os

import pytest

# The networks are too small to share their work between threads, which wait for one another and for those of other test
# processes. With one thread PyTorch's tests need half the processor time.
if os.environ.get("KERAS_BACKEND") == "torch":
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    iterate = tf.data.Dataset.__iter__

    def iterate_without_autotuning(dataset):
        """Return an iterator of a data set as it is, whose end takes no time.

        TensorFlow 2.21 tunes an iterator in a thread, which now and then misses that it is to end, and then waits for
        as long as the iterator has lived, at most a minute.
        """
        options = tf.data.Options()
        options.autotune.enabled = False
        options.experimental_optimization.apply_default_optimizations = False
        return iterate(dataset.with_options(options))

    tf.data.Dataset.__iter__ = iterate_without_autotuning

    # The networks are small and run few steps: what optimizes their graphs takes longer than it saves.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    tf.config.threading.set_intra_op_parallelism_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Leave tests that do not depend on the backend to one backend and to the long tests."""
    if keras.backend.backend() == "torch" or "lower_bound" in config.getoption("-m"):
        return
    for item in items:
        if item.get_closest_marker("one_backend"):
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def backend():
    """Return the name of the Keras backend under test."""
    return keras.backend.backend()


@pytest.fixture(autouse=True)
def _seeded():
    """Give every test the same random numbers, whichever tests ran before it."""
    keras.utils.set_random_seed(0)
