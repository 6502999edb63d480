"""The private functions of Keras that decide what training data is; see test_keras_support."""

import keras
import numpy as np
import pytest
from keras import ops

from onecycle.keras_support import data_adapters

BACKEND = keras.backend.backend()
X, Y = np.arange(20, dtype="float32").reshape(10, 2), np.arange(10, dtype="float32")[:, None]


class TwoBatches(keras.utils.PyDataset):
    """The rows as two batches."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[5 * index : 5 * index + 5], Y[5 * index : 5 * index + 5]


def data_set():
    """Return two batches of 5 rows as a data set of the backend; on JAX, which has none, as a `PyDataset`."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices((X, Y)).batch(5)
    if BACKEND == "torch":
        import torch

        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y)), 5)
    return TwoBatches()


def ragged():
    """Return a ragged tensor of two rows."""
    import tensorflow as tf

    return tf.ragged.constant([[1.0], [2.0, 3.0]])


def sparse_tensor():
    """Return the rows as a sparse tensor of the backend."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.sparse.from_dense(X)
    from jax.experimental import sparse

    return sparse.BCOO.fromdense(X)


def scipy_matrix():
    """Return the rows as a sparse matrix of SciPy."""
    return pytest.importorskip("scipy.sparse").csr_matrix(X)


def data_frame():
    """Return the rows as a data frame of pandas."""
    return pytest.importorskip("pandas").DataFrame(X)


SPARSE = [
    scipy_matrix,
    pytest.param(ragged, marks=pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow only")),
    pytest.param(sparse_tensor, marks=pytest.mark.skipif(BACKEND == "torch", reason="not on PyTorch")),
]


def tensor():
    """Return the rows as a tensor of the backend."""
    return ops.convert_to_tensor(X)


@pytest.mark.parametrize("make", [tensor, data_frame, scipy_matrix])
def test_what_keras_takes_as_arrays(make):
    """`can_convert_arrays` is true for tensors, data frames and sparse matrices, also nested."""
    assert data_adapters.is_arrays(make())
    assert data_adapters.is_arrays({"a": make(), "b": [Y, None]})


def test_what_keras_does_not_take_as_arrays():
    """`can_convert_arrays` is false for data sets, generators and lists of numbers."""
    assert not any(map(data_adapters.is_arrays, (X.tolist(), TwoBatches(), data_set(), iter([(X, Y)]))))


@pytest.mark.parametrize("make", SPARSE)
def test_sparse_and_ragged_arrays(make):
    """The `is_...` functions recognize sparse and ragged arrays, which have no NumPy array."""
    assert data_adapters.is_sparse_or_ragged(make())
    assert data_adapters.as_numpy(make()) is None
    assert not any(map(data_adapters.is_sparse_or_ragged, (X, tensor())))


@pytest.mark.parametrize("make", [tensor, data_frame, scipy_matrix])
@pytest.mark.parametrize("rows", [slice(2, 4), np.array([2, 3])], ids=["slice", "numbers"])
def test_rows_of_arrays(make, rows):
    """`convert_to_sliceable` selects rows of every kind of array by a slice and by numbers."""
    part = data_adapters.select_rows(make(), rows)
    dense = part.toarray() if hasattr(part, "toarray") else part
    np.testing.assert_array_equal(ops.convert_to_numpy(dense), X[2:4])


def test_a_data_frame_as_numpy():
    """`convert_to_numpy` of what `convert_to_sliceable` returns is the array that the model gets."""
    array = data_adapters.as_numpy(data_frame().astype("float64"))
    np.testing.assert_array_equal(array, X)
    assert array.dtype == keras.config.floatx()


@pytest.mark.parametrize("make", [TwoBatches, data_set])
def test_the_number_of_batches(make):
    """`num_batches` of the adapter is the length of a data set."""
    assert data_adapters.batches_known_to_keras(make()) == 2


@pytest.mark.parametrize("make", [TwoBatches, data_set, lambda: X])
def test_the_first_batch(make):
    """The reader of the backend, which the adapter has under the name that onecycle uses, gives the first batch."""
    x, _, sample_weight = data_adapters.first_batch_of_fit(make(), 5)
    np.testing.assert_array_equal(ops.convert_to_numpy(x), X[:5])
    assert sample_weight is None


def test_refused_arguments():
    """`get_data_adapter` refuses targets beside a data set, in Keras' words, without reading it."""
    with pytest.raises(ValueError, match="`y`"):
        data_adapters.check_unsupported_arguments(TwoBatches(), Y, None, None)
