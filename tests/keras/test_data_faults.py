"""Tests of NaN, infinite values and zero weights in the data: named before training, or in the first batch."""

import keras
import numpy as np
import pytest

from onecycle import LearningRateFinder, compare, find_learning_rate, fit_one_cycle, race_learning_rates
from onecycle.keras_support.data_faults import DataFault
from onecycle.keras_support.value_scan import MAX_BYTES_ELSEWHERE, scan_values

pytestmark = pytest.mark.one_backend

X, Y = np.random.default_rng(0).normal(size=(2, 128, 4)).astype("float32")
WEIGHTS = np.ones(128, "float32")


def network(loss="mse", *, first=None):
    """Return a compiled model with four outputs."""
    layers = [keras.Input((4,)), *([first] if first else []), keras.layers.Dense(4)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.01), loss)
    return model


def with_value(array, row, value):
    """Return a copy of the array with this value in one row."""
    copy = array.copy()
    copy[row] = value
    return copy


FAULTS = {
    "NaN in x": ((with_value(X, 7, np.nan), Y), {}, "`x` has NaN in 1 of 128 rows, first in row 7"),
    "infinity in x": ((with_value(X, 7, np.inf), Y), {}, "`x` has infinite values in 1 of 128 rows"),
    "NaN in y": ((X, with_value(Y, [3, 9], np.nan)), {}, "`y` has NaN in 2 of 128 rows, first in row 3"),
    "all NaN": ((X * np.nan, Y), {}, "`x` has NaN in 128 of 128 rows"),
    "NaN in the weights": ((X, Y), {"sample_weight": with_value(WEIGHTS, 5, np.nan)}, "`sample_weight` has NaN"),
    "zero weights": ((X, Y), {"sample_weight": 0 * WEIGHTS}, "`sample_weight` must have a weight above 0"),
    "zero class weights": (
        (X, Y[:, :1] > 0),
        {"class_weight": {0: 0.0, 1: 0.0}},
        "`class_weight` must have a weight above 0",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_of_arrays_are_named_before_training(case):
    """NaN, infinite values and zero weights in arrays are refused with the rows, and nothing is trained."""
    data, arguments, message = FAULTS[case]
    model = network()
    before = model.get_weights()
    for call in (
        lambda: find_learning_rate(model, *data, **arguments, verbose=0),
        lambda: fit_one_cycle(model, *data, **arguments, epochs=1, max_learning_rate=0.01, verbose=0),
        lambda: fit_one_cycle(model, *data, **arguments, epochs=1, verbose=0),
        lambda: race_learning_rates(model, *data, **arguments, epochs=50, verbose=0),
    ):
        with pytest.raises(DataFault, match=message):
            call()
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))
    assert not model.optimizer.built


def test_faults_in_nested_data_and_tables_are_named():
    """The message names the input of a dict, and a table of pandas with missing values is checked too."""
    inputs = {name: keras.Input((4,), name=name) for name in "ab"}
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Concatenate()([inputs["a"], inputs["b"]])))
    model.compile("sgd", "mse")
    with pytest.raises(DataFault, match=r"`x\['b'\]` has NaN in 1 of 128 rows, first in row 7"):
        find_learning_rate(model, {"a": X, "b": with_value(X, 7, np.nan)}, Y, verbose=0)
    pandas = pytest.importorskip("pandas")
    with pytest.raises(DataFault, match="`x` has NaN in 1 of 128 rows, first in row 7"):
        fit_one_cycle(
            network(), pandas.DataFrame(with_value(X, 7, np.nan)), Y, epochs=1, max_learning_rate=0.01, verbose=0
        )
    validation = (X, with_value(Y, 3, np.nan))
    with pytest.raises(DataFault, match="`y` of `validation_data` has NaN"):
        race_learning_rates(network(), X, Y, validation_data=validation, epochs=50, verbose=0)
    with pytest.raises(DataFault, match="`x` has NaN"):
        compare(network, ((X * np.nan, Y), (X, Y)), {"a": {}, "b": {}}, seeds=1, epochs=1, verbose=0)


def present_targets_only(y, y_pred):
    """Return the mean squared error over the targets that are not NaN."""
    ops = keras.ops
    present = ops.logical_not(ops.isnan(y))
    errors = ops.where(present, (ops.where(present, y, 0.0) - y_pred) ** 2, 0.0)
    return ops.sum(errors) / ops.sum(ops.cast(present, "float32"))


def test_nan_that_the_model_handles_is_accepted():
    """NaN is no fault where the loss leaves missing targets out, or a layer replaces missing inputs."""
    missing = np.where(np.random.default_rng(1).random(Y.shape) < 0.6, np.nan, Y)
    assert np.isfinite(find_learning_rate(network(present_targets_only), X, missing, verbose=0).losses[:20]).all()
    filled = network(first=keras.layers.Lambda(keras.ops.nan_to_num))
    history = fit_one_cycle(filled, with_value(X, 7, np.nan), Y, epochs=1, max_learning_rate=0.01, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_a_large_file_is_read_in_parts(tmp_path):
    """Of an array in a file, evenly spaced parts are checked, and the description says how many rows."""
    rows = MAX_BYTES_ELSEWHERE // 4000 * 3
    array = np.memmap(tmp_path / "array", "float32", "w+", shape=(rows, 1000))
    array[rows - 1] = np.nan
    scan = scan_values(array)
    assert scan.checked <= rows // 3 + 2000
    assert scan.description == f"NaN in 1 of the {scan.checked} rows that were checked, first in row {rows - 1}"
    assert scan_values(np.zeros((3, 2))).complete


class Batches(keras.utils.PyDataset):
    """Batches of 16 rows, of which some are replaced."""

    def __init__(self, **replaced):
        super().__init__()
        self.replaced = replaced

    def __len__(self):
        return 8

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * index + 16)
        parts = {"x": X[rows], "y": Y[rows], "sample_weight": WEIGHTS[rows]}
        changed = {name: change(parts[name], index) for name, change in self.replaced.items()}
        return tuple((parts | changed).values())


@pytest.mark.parametrize("name", ["x", "y", "sample_weight"])
def test_a_bad_first_batch_is_named(name):
    """NaN in the first batch of a data set or a generator is named, and the model is as before."""
    dataset = Batches(**{name: lambda part, index: part * np.nan})
    for data in (dataset, (dataset[k] for k in range(8))):
        model = network()
        before = model.get_weights()
        with pytest.raises(
            DataFault, match=f"The loss of batch 1 of 1 was NaN or infinite, and `{name}` of this batch"
        ):
            find_learning_rate(model, data, verbose=0)
        assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))


def test_a_bad_batch_later_on_is_named():
    """NaN in a later batch ends the test with a hint on that batch, and without a suggestion."""
    dataset = Batches(x=lambda part, index: part * (np.nan if index == 5 else 1))
    model = network()
    result = find_learning_rate(model, dataset, num_steps=50, seed=0, verbose=0)
    count = len(result.losses)
    assert 1 < count <= 8
    assert result.hints[0].startswith(f"The loss of batch {count} of {count} was NaN or infinite, and `x` of this")
    with pytest.raises(ValueError, match="`x` of this batch held NaN"):
        result.learning_rate  # noqa: B018 - raises
    finder = LearningRateFinder(num_steps=20)
    model.fit(dataset, epochs=4, verbose=0, callbacks=[finder])
    assert "`x` of this batch held NaN" in finder.result.hints[0]


def test_zero_weights_of_a_data_set_are_named():
    """A data set whose weights are all zero is refused; one with some zero weights is not."""
    with pytest.raises(DataFault, match="All sample weights of the 50 batches were zero"):
        find_learning_rate(network(), Batches(sample_weight=lambda part, index: 0 * part), num_steps=50, verbose=0)
    with pytest.warns(UserWarning, match="All sample weights of the first batch are zero"):
        fit_one_cycle(
            network(), Batches(sample_weight=lambda part, index: 0 * part), epochs=1, max_learning_rate=0.1, verbose=0
        )
    some = Batches(sample_weight=lambda part, index: part * (index % 2))
    assert find_learning_rate(network(), some, num_steps=50, verbose=0).hints == ()


@pytest.mark.parametrize("generator", [False, True])
def test_a_bad_first_batch_ends_training(generator):
    """With a given peak, NaN in the first batch of a data set ends training, and the weights are as before."""
    dataset = Batches(y=lambda part, index: part * np.nan)
    model = network()
    before = model.get_weights()
    data = (dataset[k] for k in range(8)) if generator else dataset
    message = "The loss of the first batch is NaN" if generator else "`y` has NaN in 16 of 16 rows"
    with pytest.raises(DataFault, match=message):
        fit_one_cycle(model, data, epochs=1, steps_per_epoch=8, max_learning_rate=0.01, shuffle=False, verbose=0)
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))
    history = fit_one_cycle(model, Batches(), epochs=1, max_learning_rate=0.01, verbose=0)
    assert history.onecycle.steps == 8
    assert np.isfinite(history.history["loss"]).all()
