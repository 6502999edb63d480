"""Training does not leave graphs behind that TensorFlow would keep for as long as the process lives."""

import gc

import keras
import numpy as np
import pytest

import onecycle
from onecycle.keras_support.gradient_sum import without_gradient_sum

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")

SUM = "_all_reduce_sum_gradients"
X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = X[:, :1]


def built(optimizer="sgd"):
    """Return a small compiled model."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


def count_graphs():
    """Return the number of graphs of traced functions."""
    gc.collect()
    return sum(type(one).__name__.endswith("FuncGraph") for one in gc.get_objects())


def range_test():
    """Make a range test in a compiled program."""
    onecycle.find_learning_rate(built(), X, Y, num_steps=20, verbose=0)


def range_test_in_fit():
    """Make a range test in `fit`."""
    finder = onecycle.LearningRateFinder(num_steps=20)
    built().fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[finder])


def cycle():
    """Train a cycle."""
    onecycle.fit_one_cycle(built(), X, Y, epochs=2, max_learning_rate=0.01, verbose=0)


def cycle_of_scaled_loss():
    """Train a cycle with an optimizer inside another."""
    model = built(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01)))
    onecycle.fit_one_cycle(model, X, Y, epochs=2, max_learning_rate=0.01, verbose=0)


def comparison():
    """Compare a constant rate and a cycle."""
    arms = {"constant": {}, "1cycle": {"max_learning_rate": 0.01}}
    onecycle.compare(built, ((X, Y), (X, Y)), arms, seeds=1, epochs=1, verbose=0)


@pytest.mark.parametrize("train", [range_test, range_test_in_fit, cycle, cycle_of_scaled_loss, comparison])
def test_no_graph_stays(train):
    """A second training on a new model leaves no graph behind."""
    train()  # TensorFlow keeps the last graph of a range test until the next one
    before = count_graphs()
    train()
    assert count_graphs() <= before  # graphs of other tests may have been freed


def test_what_keras_leaves():
    """As long as this holds, `without_gradient_sum` is needed."""
    before = count_graphs()
    built().fit(X, Y, verbose=0)
    assert count_graphs() > before


def test_a_step_without_the_sum_is_the_same():
    """The weights are the same to the bit, and the optimizer is restored."""
    rows = []
    for leaves_out in (False, True):
        keras.utils.set_random_seed(0)
        model = built(keras.optimizers.Adam(0.01))
        with without_gradient_sum(*[model.optimizer] * leaves_out):
            model.fit(X, Y, verbose=0, shuffle=False)
        assert SUM not in vars(model.optimizer)
        rows.append(np.concatenate([one.ravel() for one in model.get_weights()]))
    assert np.array_equal(*rows)


def test_several_replicas_keep_the_sum():
    """Under a strategy Keras adds up the gradients."""
    import tensorflow as tf

    optimizer = keras.optimizers.SGD(0.01)
    pairs = [(tf.constant([1.0]), tf.Variable([0.0]))]
    with without_gradient_sum(optimizer):
        assert getattr(optimizer, SUM)(pairs) is pairs
        with tf.distribute.OneDeviceStrategy("CPU:0").scope():
            summed = tf.distribute.get_strategy().run(lambda: getattr(optimizer, SUM)(pairs))
        assert summed is not pairs  # Keras' own function makes new ones
    assert SUM not in vars(optimizer)
