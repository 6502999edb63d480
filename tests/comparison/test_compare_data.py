"""What `compare` does with each kind of data that `fit` takes."""

import keras
import numpy as np
import pytest
from oracles.comparisons import build, data_of
from oracles.linear_models import autoencoder, dense

from onecycle import compare
from onecycle.keras_support.identity import data_digest

pd = pytest.importorskip("pandas")
sparse = pytest.importorskip("scipy.sparse")

RNG = np.random.default_rng(3)
X = (RNG.normal(size=(64, 4)) * RNG.integers(0, 2, (64, 4))).astype("float32")
Y = X[:, :1] - X[:, 1:2]
HELD_OUT = X[:20], Y[:20]
ARMS = {"plain": {}, "cycle": {"max_learning_rate": 0.05}}


def quick_autoencoder():
    """Return an autoencoder with a high learning rate."""
    return autoencoder(learning_rate=0.1)


class Batches(keras.utils.PyDataset):
    """Batches in memory."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0]) // 16

    def __getitem__(self, index):
        return tuple(array[index * 16 : index * 16 + 16] for array in self.arrays)


def frames():
    """Return a data frame with columns of two types and an unusual index, and targets as a Series."""
    frame = pd.DataFrame(X, index=np.arange(64)[::-1] + 7)
    return frame.assign(**{"1": (frame[1] * 10).astype(int)}).drop(columns=[1]), pd.Series(Y[:, 0])


def tf_dataset(*arrays):
    """Return a `tf.data.Dataset` of batches."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays).batch(16)


def tf_sparse():
    """Return the inputs as a sparse tensor of TensorFlow."""
    import tensorflow as tf

    return tf.sparse.from_dense(X)


# Name -> (function that builds the model, function that returns `data`)
KINDS = {
    "no targets": (quick_autoencoder, lambda: ((X,), (X[:20],))),
    "None as targets": (quick_autoencoder, lambda: ((X, None), (X[:20], None))),
    "no targets, frame": (quick_autoencoder, lambda: ((pd.DataFrame(X),), (pd.DataFrame(X[:20]),))),
    "no targets, data sets": (quick_autoencoder, lambda: (Batches(X), Batches(X[:32]))),
    "no targets, function": (quick_autoencoder, lambda: lambda seed: ((X,), (X[:20],))),
    "no weights yet": (lambda: dense(inputs=False), lambda: ((X, Y), HELD_OUT)),
    "frames": (dense, lambda: (frames(), tuple(part[:20] for part in frames()))),
    "CSR": (dense, lambda: ((sparse.csr_matrix(X), Y), (sparse.csr_matrix(X[:20]), Y[:20]))),
    "tf.SparseTensor": (dense, lambda: ((tf_sparse(), Y), HELD_OUT)),
    "lists of arrays": (dense, lambda: [[X, Y], [*HELD_OUT]]),
    "data sets alone": (dense, lambda: (Batches(X, Y), Batches(X[:32], Y[:32]))),
    "tf.data": (dense, lambda: (tf_dataset(X, Y), tf_dataset(*HELD_OUT))),
    "data set, then arrays": (dense, lambda: (Batches(X, Y), HELD_OUT)),
    "arrays, then data set": (dense, lambda: ((X, Y), Batches(X[:32], Y[:32]))),
}


def fitted(make, data, seed):
    """Return the history of seeding, building, seeding again and calling `fit`."""
    data = data()
    train, held_out = data(seed) if callable(data) else data
    train = train if isinstance(train, tuple | list) else (train,)
    held_out = tuple(held_out) if isinstance(held_out, list) else held_out
    keras.utils.set_random_seed(seed)
    model = make()
    if not model.built:
        model(keras.ops.zeros((1, 4)))
    keras.utils.set_random_seed(seed)
    return model.fit(*train, epochs=2, validation_data=held_out, verbose=0).history


@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")  # by Keras, for data sets
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_is_compared_as_fit_takes_it(kind):
    """The plain arm of each seed has the history of `fit`, and the cycle has one too."""
    make, data = KINDS[kind]
    comparison = compare(make, data(), ARMS, seeds=2, epochs=2, mode="min", verbose=0)
    assert comparison.problems == ()
    for run in comparison.of("plain"):
        expected = fitted(make, data, run["seed"])
        assert list(run["history"]) == list(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(run["history"][name], values, rtol=1e-4, atol=1e-6)
    assert all(np.isfinite(run["final"]) for run in comparison.of("cycle"))


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),  # no validation data
        (X, X[:20]),
        ((X, Y), None),
        ((X, Y), (None, None)),
        ((X, Y, np.ones(64)), HELD_OUT),
        ((X, Y), HELD_OUT, HELD_OUT),
        {"train": (X, Y)},
        None,
        lambda seed: (X, Y),
    ],
)
def test_data_in_another_form_is_refused(data):
    """The error says which forms there are, and nothing is built."""
    with pytest.raises(ValueError, match=r"`data` must be \(\(x, y\), \(x_val, y_val\)\), .*Received: data"):
        compare(lambda: pytest.fail("built"), data, ARMS, seeds=1, epochs=1)


@pytest.mark.parametrize(
    "data", [((X.astype(object), Y), HELD_OUT), ((X, Y), (X[:20], Y[:19])), ((X[1:], Y), HELD_OUT)]
)
def test_what_fit_refuses_is_refused_before_any_run(data):
    """The error is that of Keras."""
    arms = {"arm": {"callbacks": lambda: pytest.fail("a run was started")}, "other": {}}
    with pytest.raises(ValueError, match=r"Invalid dtype|cardinality|same number of samples") as caught:
        compare(dense, data, arms, seeds=1, epochs=1)
    assert "Arm" not in str(caught.value)


def test_targets_that_the_loss_needs_are_required():
    """Arrays without targets are an error of a model that is compiled with a loss."""
    with pytest.raises(ValueError, match="Argument `y` must have the targets"):
        compare(build, ((X,), (X[:20],)), ARMS, seeds=1, epochs=1)
    with pytest.raises(ValueError, match="Argument `validation_data` must have the targets"):
        compare(build, (data_of()[0], (X[:20],)), ARMS, seeds=1, epochs=1)


def test_error_in_function_of_the_seed_is_raised_as_it_is():
    """It is not taken for data in another form."""
    with pytest.raises(ValueError, match="no such file"):
        compare(build, lambda seed: int("no such file"), ARMS, seeds=1, epochs=1)


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.coo_matrix, lambda x: x.astype(object), pd.DataFrame])
def test_digest_depends_on_the_values(make):
    """Equal data have equal digests, and one other value makes another one."""
    changed = X.copy()
    changed[-1, -1] += 1
    assert data_digest(make(X)) == data_digest(make(X.copy()))
    assert data_digest(make(X)) != data_digest(make(changed))
    assert data_digest((Batches(X),)) is None
