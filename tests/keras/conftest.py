"""Fixtures and settings of the tests that train. They run once for each backend, chosen by KERAS_BACKEND."""

import atexit
import os
import shutil
import tempfile

import pytest

# Many tests compile the same step of the same small model. With these caches JAX and TensorFlow compile it once per
# session. The variables must be set before keras imports them.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = directory = tempfile.mkdtemp(prefix="onecycle-compiled-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    os.environ["TF_XLA_FLAGS"] = (
        f"--tf_xla_persistent_cache_directory={directory} --tf_xla_persistent_cache_device_types=CPU"
    )
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
# Compilation takes most of the time. With fewer optimizations it takes two thirds as long on JAX.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

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


@pytest.fixture(scope="session")
def backend():
    """Return the name of the Keras backend under test."""
    return keras.backend.backend()


@pytest.fixture(autouse=True)
def _seeded():
    """Give every test the same random numbers, whichever tests ran before it."""
    keras.utils.set_random_seed(0)
