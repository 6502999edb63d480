"""Tests of `find_learning_rate`, `fit_one_cycle` and the split of a race with all kinds of data, beside plain `fit`."""

import sys

import keras
import numpy as np
import pytest
from keras import layers
from oracles import states
from oracles.linear_models import autoencoder, dense

import onecycle
from onecycle.finding.race_data import race_data

pd = pytest.importorskip("pandas")
sparse = pytest.importorskip("scipy.sparse")

pytestmark = [
    pytest.mark.one_backend,
    pytest.mark.filterwarnings(  # by Keras, for data sets
        "ignore:.shuffle=True. was passed", "ignore:Your input ran out of data"
    ),
]

ROWS, BATCH = 64, 16
RNG = np.random.default_rng(3)
X = (RNG.normal(size=(ROWS, 4)) * RNG.integers(0, 2, (ROWS, 4))).astype("float32")
Y = X[:, :1] - X[:, 1:2]
WEIGHTS = RNG.uniform(0.5, 1.5, ROWS).astype("float32")
INDEX = np.arange(ROWS)[::-1] + 7
WORDS = np.array(["a b" if value > 0 else "c" for value in X[:, 0]])


def two_inputs():
    """Return a compiled model with a dict of two inputs."""
    inputs = {name: keras.Input((4,), name=name) for name in ("a", "b")}
    model = keras.Model(inputs, layers.Dense(1)(layers.Concatenate()(list(inputs.values()))))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


class Preprocessed(keras.Model):
    """A model that converts text to numbers in its own `fit` and `evaluate`, as the models of KerasHub do."""

    def preprocess(self, x, *rest):
        """Return a batch with numbers instead of text."""
        import tensorflow as tf

        return (tf.cast(tf.strings.length(x), "float32")[:, None], *rest)

    def batches(self, x, y, sample_weight, batch_size):
        """Return a `tf.data.Dataset` of batches that are not preprocessed yet."""
        import tensorflow as tf

        if not isinstance(x, tf.data.Dataset):
            parts = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
            parts = keras.tree.map_structure(lambda part: np.asarray(part) if hasattr(part, "shape") else part, parts)
            return tf.data.Dataset.from_tensor_slices(parts).batch(batch_size or 32)
        if batch_size is not None:
            raise ValueError("A data set comes in batches. Received: batch_size")
        return x

    def fit(self, x=None, y=None, batch_size=None, sample_weight=None, validation_data=None, **arguments):
        """Train on preprocessed batches. Validation data is preprocessed by `evaluate`, which Keras' `fit` calls."""
        if validation_data is not None:
            vx, vy, vw = keras.utils.unpack_x_y_sample_weight(validation_data)
            validation_data = self.batches(vx, vy, vw, None if vy is None else batch_size)
        batches = self.batches(x, y, sample_weight, batch_size).map(self.preprocess)
        return super().fit(batches, validation_data=validation_data, **arguments)

    def evaluate(self, x=None, y=None, batch_size=None, sample_weight=None, **arguments):
        """Evaluate on preprocessed batches."""
        arguments.pop("_use_cached_eval_dataset", None)
        return super().evaluate(self.batches(x, y, sample_weight, batch_size).map(self.preprocess), **arguments)


def preprocessed(inputs=True):
    """Return a model with a preprocessor inside."""
    if inputs:
        given = keras.Input((1,))
        model = Preprocessed(given, layers.Dense(1)(given))
    else:
        model = _Unbuilt()
    model.compile(keras.optimizers.SGD(0.001), "mse")
    return model


class _Unbuilt(Preprocessed):
    def __init__(self):
        super().__init__()
        self.layer = layers.Dense(1)

    def call(self, x):
        return self.layer(x)


class Batches(keras.utils.PyDataset):
    """Batches in memory."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return ROWS // BATCH

    def __getitem__(self, index):
        return tuple(array[index * BATCH : (index + 1) * BATCH] for array in self.arrays)


def tf_dataset(*arrays):
    """Return a `tf.data.Dataset` of batches; of a single array, without a tuple."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(BATCH)


def tf_sparse():
    """Return the inputs as a sparse tensor of TensorFlow."""
    import tensorflow as tf

    return tf.sparse.from_dense(X)


def tf_ragged():
    """Return the inputs as a ragged tensor of TensorFlow."""
    import tensorflow as tf

    return tf.RaggedTensor.from_tensor(X)


def tensors():
    """Return one input of PyTorch and one of TensorFlow."""
    import tensorflow as tf
    import torch

    return {"a": torch.tensor(X), "b": tf.constant(X)}


def loader(*arrays):
    """Return a PyTorch `DataLoader`."""
    import torch

    data = torch.utils.data.TensorDataset(*map(torch.tensor, arrays))
    return torch.utils.data.DataLoader(data, batch_size=BATCH)


def mixed_frame():
    """Return a data frame with columns of three types and a custom index."""
    frame = pd.DataFrame(X, index=INDEX)
    return frame.assign(**{"1": (frame[1] * 10).astype(int), "3": frame[3].astype("float64")}).drop(columns=[1, 3])


# Name -> (the model, (x, y, sample_weight) or fewer of them)
KINDS = {
    "float64": (dense, lambda: (X.astype("float64"), Y.astype("float64"))),
    "CSR": (dense, lambda: (sparse.csr_matrix(X), Y)),
    "CSC": (dense, lambda: (sparse.csc_matrix(X), Y)),
    "COO, no Input": (lambda: dense(inputs=False), lambda: (sparse.coo_matrix(X), Y)),
    "tf.SparseTensor": (dense, lambda: (tf_sparse(), Y)),
    "ragged": (dense, lambda: (tf_ragged(), Y)),
    "data frames": (dense, lambda: (pd.DataFrame(X, index=INDEX), pd.DataFrame(Y), pd.Series(WEIGHTS, index=INDEX))),
    "mixed frame": (dense, lambda: (mixed_frame(), pd.Series(Y[:, 0]))),
    "frame of objects": (dense, lambda: (pd.DataFrame(X).assign(**{"4": True}).drop(columns=[3]), Y)),
    "objects": (dense, lambda: (X.astype(object), Y)),
    "nested lists": (dense, lambda: (X.tolist(), Y.tolist())),
    "list of targets": (dense, lambda: (X, Y.tolist())),
    "tensors": (two_inputs, lambda: (tensors(), Y)),
    "frame in a dict": (two_inputs, lambda: ({"a": pd.DataFrame(X), "b": X}, Y)),
    "no targets": (autoencoder, lambda: (X,)),
    "no targets, frame": (autoencoder, lambda: (pd.DataFrame(X),)),
    "no targets, tf.data": (autoencoder, lambda: (tf_dataset(X),)),
    "no targets, PyDataset": (autoencoder, lambda: (Batches(X),)),
    "no targets, DataLoader": (autoencoder, lambda: (loader(X),)),
    "sparse PyDataset": (dense, lambda: (Batches(sparse.csr_matrix(X), Y),)),
    "text": (preprocessed, lambda: (WORDS, Y)),
    "text, no weights": (lambda: preprocessed(inputs=False), lambda: (WORDS.astype(object), Y)),
    "list of text": (preprocessed, lambda: (WORDS.tolist(), Y)),
    "text in tf.data": (preprocessed, lambda: (tf_dataset(WORDS, Y),)),
    "text without preprocessing": (dense, lambda: (WORDS, Y)),
    "other rows": (dense, lambda: (X, Y[:-1])),
    "targets beside a data set": (dense, lambda: (tf_dataset(X, Y), Y)),
}
DATA_SETS = ("tf.data", "PyDataset", "DataLoader")
# On the other backends, Keras refuses to convert these, or fails in its own way.
ONLY_ON = {"tf.SparseTensor": ("tensorflow", "jax"), "ragged": ("tensorflow",)}


def prepared(make, data, function):
    """Return the error of a function of (model, x, y, sample_weight) as text, or None; the model is new."""
    x, y, sample_weight = (*data(), None, None)[:3]
    try:
        function(make(), x, y, sample_weight)
    except Exception as error:  # noqa: BLE001 - whatever `fit` raises
        return f"{type(error).__name__}: {str(error)[:40]}"
    return None


def fit(model, x, y, sample_weight):
    """Train for one epoch."""
    model.fit(x, y, sample_weight=sample_weight, verbose=0)


def find(model, x, y, sample_weight):
    """Run a short range test."""
    onecycle.find_learning_rate(model, x, y, sample_weight=sample_weight, num_steps=10, verbose=0)


def cycle(model, x, y, sample_weight):
    """Train one epoch with a cycle."""
    onecycle.fit_one_cycle(model, x, y, sample_weight=sample_weight, epochs=1, max_learning_rate=0.01, verbose=0)


def hold_out(model, x, y, sample_weight):
    """Split the data as a race does, and use both parts as it does."""
    options = {"validation_data": None, "validation_split": 0.0, "random": np.random.RandomState(0)}
    data = race_data(model, x, y, sample_weight, **options)
    model.fit(data.x, data.y, sample_weight=data.sample_weight, validation_data=data.validation, verbose=0)


@pytest.mark.parametrize("kind", KINDS)
def test_data_is_taken_or_refused_as_by_fit(kind, backend):
    """What `fit` takes is taken by the range test, the cycle and the split of a race; what it refuses, refused."""
    if backend not in ONLY_ON.get(kind, (backend,)):
        pytest.skip("not for this backend")
    make, data = KINDS[kind]
    expected = prepared(make, data, fit)
    assert [prepared(make, data, function) for function in (find, cycle)] == [expected] * 2
    # Nothing can be held out of a data set of so few batches.
    if expected is None and not kind.endswith(DATA_SETS):
        assert prepared(make, data, hold_out) is None


def endless():
    """Return batches without an end."""
    return tf_dataset(X, Y).repeat()


def unknown():
    """Return an unknown number of batches."""
    return tf_dataset(X, Y).filter(lambda *batch: True)


@pytest.mark.parametrize("make_data", [endless, unknown])
@pytest.mark.parametrize("peak", ["auto", 0.01])
def test_unknown_length_is_refused_before_any_training(make_data, peak):
    """Without a length there is no cycle, which is said before the search for the peak."""
    model = dense()
    before = states.of_model(model)
    with pytest.raises(ValueError, match="`total_steps`"):
        onecycle.fit_one_cycle(model, make_data(), epochs=2, max_learning_rate=peak, verbose=0)
    assert states.difference(before, states.of_model(model)) == []


def test_total_steps_give_a_length(backend):
    """With `total_steps`, data of unknown length is trained on with a complete cycle."""
    options = {"max_learning_rate": 0.01, "verbose": 0}
    report = onecycle.fit_one_cycle(dense(), unknown(), epochs=2, total_steps=8, **options).onecycle
    assert (report.steps, report.total_steps) == (8, 8)
    with pytest.raises(ValueError, match="`total_steps` must be >= 1"):
        onecycle.fit_one_cycle(dense(), X, Y, epochs=2, total_steps=0, **options)


def nothing():
    """Return a `tf.data.Dataset` of unknown length that has no batch."""
    return tf_dataset(X, Y).filter(lambda *batch: False)


def nothing_loaded():
    """Return a `DataLoader` of unknown length that has no batch."""
    import torch

    class Nothing(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([])

    return torch.utils.data.DataLoader(Nothing(), batch_size=BATCH)


ON_NOTHING = {
    "find": lambda model, x: onecycle.find_learning_rate(model, x, verbose=0),
    "fit": lambda model, x: onecycle.fit_one_cycle(
        model, x, epochs=2, total_steps=8, max_learning_rate=0.01, verbose=0
    ),
    "find and fit": lambda model, x: onecycle.fit_one_cycle(model, x, epochs=2, total_steps=8, verbose=0),
}


@pytest.mark.parametrize(
    ("function", "make_data", "state"),
    [
        *((function, nothing, state) for function in ("find", "fit") for state in ("unbuilt", "trained")),
        *((function, nothing, "built") for function in ON_NOTHING),
        *((function, nothing_loaded, "built") for function in ("find", "fit")),
    ],
)
def test_data_that_turns_out_to_have_no_batch(function, make_data, state):
    """If data of unknown length has no batch, each function says so, on each backend, and has trained nothing."""
    model = dense(inputs=state != "unbuilt")
    if state == "trained":
        model.fit(X, Y, verbose=0)
    before = states.of_model(model)
    with pytest.raises(ValueError, match="Argument `x` must have at least one batch"):
        ON_NOTHING[function](model, make_data())
    if state != "unbuilt":
        after = states.of_model(model)
        names = ["model"] if function == "fit" else list(before)  # `fit` prepares the optimizer and the metrics
        assert states.difference({k: before[k] for k in names}, {k: after[k] for k in names}) == []


CALLBACKS = {
    "cycle": lambda: onecycle.OneCycleScheduler(0.1, total_steps=8),
    "finder": lambda: onecycle.LearningRateFinder(num_steps=12),
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_notice_that_there_was_no_batch(name):
    """In a `fit` without a batch, the callbacks raise the error, and the model keeps its weights."""
    model = dense()
    model.fit(X, Y, verbose=0)
    before = model.get_weights()
    with pytest.raises(ValueError, match="Argument `x` must have at least one batch"):
        model.fit(nothing(), epochs=12, verbose=0, callbacks=[CALLBACKS[name]()])
    assert "make_train_function" not in vars(model)
    assert all(map(np.array_equal, before, model.get_weights()))


class WithLength:
    """Batches with a length, for which Keras does not ask."""

    def __len__(self):
        return ROWS // BATCH

    def __iter__(self):
        return iter([Batches(X, Y)[k] for k in range(len(self))])


class Endless(WithLength):
    """Batches without an end, with the length that Grain gives for them."""

    def __len__(self):
        return sys.maxsize


class ReadsIterables(keras.Model):
    """A model whose `fit` takes any iterable."""

    def fit(self, x, y=None, batch_size=None, sample_weight=None, class_weight=None, **arguments):
        """Train on a generator."""
        return super().fit((batch for batch in x), **arguments)


def test_length_of_the_data_is_that_of_the_cycle():
    """Data with `len()` has a known length, also where Keras does not ask for it."""
    inputs = keras.Input((4,))
    model = ReadsIterables(inputs, layers.Dense(1)(inputs))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    report = onecycle.fit_one_cycle(model, WithLength(), epochs=1, max_learning_rate=0.01, verbose=0).onecycle
    assert (report.steps, report.total_steps) == (4, 4)
    with pytest.raises(ValueError, match="The length of this data is unknown"):
        onecycle.fit_one_cycle(model, Endless(), epochs=1, max_learning_rate=0.01, verbose=0)
