"""Tests of data in the order of its targets: noticed, read from all over, and never suspected where it is shuffled."""

import keras
import numpy as np
import pytest

from onecycle import LearningRateFinder, find_learning_rate, fit_one_cycle
from onecycle.finding.data_order import Order, order_of_batches
from onecycle.finding.spread_batches import spread_batches

pytestmark = pytest.mark.one_backend

ROWS, BATCH = 640, 16
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 8)).astype("float32")
LABELS = (X @ RNG.normal(size=(8, 4))).argmax(axis=1)
IN_ORDER = np.argsort(LABELS, kind="stable")


class Batches(keras.utils.PyDataset):
    """The rows in batches, in their order."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.read = x, y, []

    def __len__(self):
        return len(self.x) // BATCH

    def __getitem__(self, index):
        self.read.append(index)
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return self.x[rows], self.y[rows]


def tf_data(x, y):
    """Return a `tf.data.Dataset` of the rows in their order."""
    return pytest.importorskip("tensorflow").data.Dataset.from_tensor_slices((x, y)).batch(BATCH)


def data_loader(x, y):
    """Return a `DataLoader` of the rows in their order."""
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(torch.as_tensor(x), torch.as_tensor(y))
    return torch.utils.data.DataLoader(tensors, batch_size=BATCH)


KINDS = {"PyDataset": Batches, "tf.data": tf_data, "DataLoader": data_loader}


def classifier():
    """Return a compiled classifier."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(4, "softmax")])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    return model


def positions(targets, size):
    """Return the means, variances and rows of consecutive batches of a number for each row."""
    batches = [targets[k : k + size] for k in range(0, len(targets), size)]
    return tuple(np.array([np.float64(f(batch)) for batch in batches]) for f in (np.mean, np.var, len))


TARGETS = {
    "two classes": lambda n, rng: rng.integers(0, 2, n),
    "ten classes": lambda n, rng: rng.integers(0, 10, n),
    "a rare class": lambda n, rng: rng.random(n) < 0.003,
    "heavy tails": lambda n, rng: rng.standard_cauchy(n),
    "far from zero": lambda n, rng: 5000 + rng.normal(size=n),
    "words": lambda n, rng: rng.zipf(1.6, n).clip(max=50000),
}


@pytest.mark.parametrize("size", [1, 2, 8, 32])
@pytest.mark.parametrize("case", TARGETS)
def test_shuffled_targets_are_not_suspected(case, size):
    """No order is noticed in shuffled targets of any distribution, in runs of 10, 40 and 300 batches."""
    rng = np.random.default_rng(size)
    for count in [10, 40, 300] * 20:
        found = order_of_batches(*positions(TARGETS[case](count * size, rng).astype("float32"), size))
        assert found in (None, Order.CONSTANT)  # a short run may have none of a rare class


@pytest.mark.parametrize("case", ["two classes", "ten classes", "far from zero"])
def test_sorted_targets_are_noticed(case):
    """Sorted targets are noticed, and so are sorted batches in random order."""
    rng = np.random.default_rng(0)
    targets = np.sort(TARGETS[case](1600, rng).astype("float64"))
    assert order_of_batches(*positions(targets, 16)) is Order.SORTED
    assert order_of_batches(*positions(targets.reshape(100, 16)[rng.permutation(100)].ravel(), 16)) is Order.PURE
    assert order_of_batches(*positions(targets[::13], 1)) is Order.SORTED
    assert order_of_batches(*positions(np.zeros(160), 16)) is Order.CONSTANT


@pytest.mark.parametrize("kind", KINDS)
def test_the_finder_names_sorted_data(kind):
    """A hint names sorted data with the remedy; the rate is found on mixed rows where the batches came in order."""
    expected = find_learning_rate(classifier(), X, LABELS, batch_size=BATCH, num_steps=60, seed=0, verbose=0)
    result = find_learning_rate(
        classifier(), KINDS[kind](X[IN_ORDER], LABELS[IN_ORDER]), num_steps=60, seed=0, verbose=0
    )
    (hint,) = result.hints
    assert "Shuffle the data set" in hint
    assert expected.hints == ()
    if kind != "PyDataset":  # `fit` reads its batches in random order, and so does the range test
        assert "repeated on rows from all over" in hint
        # In order, the loss would seem to shoot up at the second class, at about 1e-5.
        assert abs(np.log(result.suggestion.seen_at / expected.suggestion.seen_at)) < np.log(3)


def test_batches_are_read_all_over():
    """Part of a data set is read at evenly spaced places; shuffled `tf.data` is read from its beginning alone."""
    dataset = Batches(X[IN_ORDER], LABELS[IN_ORDER])
    labels = {int(label) for _, y in spread_batches(dataset, 8) for label in y}
    assert labels == {0, 1, 2, 3}
    assert sorted(dataset.read) == [2, 7, 12, 17, 22, 27, 32, 37]
    for x, y in ((X, LABELS), (X[IN_ORDER], LABELS[IN_ORDER])):
        read = [np.array(batch) for batch, _ in spread_batches(tf_data(x, y), 8)]
        rows = slice(0, BATCH) if y is LABELS else slice(2 * BATCH, 3 * BATCH)
        assert len(read) == 8
        assert np.array_equal(read[0], x[rows])


def test_unshuffled_training_is_noticed():
    """In a `fit` with `shuffle=False` on sorted arrays the callback has a hint, with shuffling it has none."""
    for shuffle in (True, False):
        finder, model = LearningRateFinder(num_steps=60), classifier()
        model.fit(
            X[IN_ORDER], LABELS[IN_ORDER], batch_size=BATCH, epochs=2, shuffle=shuffle, verbose=0, callbacks=[finder]
        )
        assert bool(finder.result.hints) != shuffle


def test_fit_one_cycle_warns_of_sorted_data():
    """`fit_one_cycle` warns once of sorted data when its range test notices it."""
    with pytest.warns(UserWarning, match="Shuffle the data set") as caught:
        fit_one_cycle(classifier(), Batches(X[IN_ORDER], LABELS[IN_ORDER]), epochs=3, seed=2, verbose=0)
    assert len([one for one in caught if "Shuffle the data set" in str(one.message)]) == 1


def test_orders_are_noticed_in_other_targets():
    """One-hot targets, numbers and several outputs in order are noticed, and a constant target is not."""
    sorted_x = X[np.argsort(X[:, 0])]
    inputs = keras.Input((8,))
    outputs = [keras.layers.Dense(4, name="a")(inputs), keras.layers.Dense(1, name="b")(inputs)]
    for targets, suspected in (
        ((np.eye(4)[LABELS[IN_ORDER]], np.zeros((ROWS, 1))), True),
        ((np.zeros((ROWS, 4)), sorted_x[:, :1]), True),
        ((np.zeros((ROWS, 4)), np.zeros((ROWS, 1))), False),
        ((np.eye(4)[LABELS], X[:, :1]), False),
    ):
        model = keras.Model(inputs, outputs)
        model.compile("sgd", ["mse", "mse"])
        finder = LearningRateFinder(num_steps=40)
        model.fit(
            sorted_x, [y.astype("float32") for y in targets], batch_size=BATCH, shuffle=False, verbose=0,
            callbacks=[finder],
        )  # fmt: skip
        assert bool(finder.result.hints) == suspected
