"""Tests of `check`: each kind of fault is found, with its remedy, and healthy models and data have no finding."""

import warnings

import keras
import numpy as np
import pytest
from oracles import faulty, states
from oracles.faulty import FAULTS, HEALTHY, LABELS, NUMBERS, X

import onecycle
from onecycle.finding.checking import found_in, outcomes_without_training

pytestmark = pytest.mark.one_backend


def found(model, x, y=None, **arguments):
    """Return the findings that need no training."""
    return found_in(outcomes_without_training(model, x, y, **arguments))


@pytest.mark.parametrize("case", FAULTS)
def test_each_fault_is_found_alone(case):
    """Each fault is found, and nothing else, with a description and a remedy."""
    name, make, x, y, arguments = FAULTS[case]
    model = make()
    if not model.built:
        model(x[:1])
    (finding,) = found(model, x, y, **arguments)
    assert finding.name == name
    assert finding.description.endswith(".")
    assert finding.remedy.endswith(".")


@pytest.mark.parametrize("case", HEALTHY)
def test_nothing_is_found_where_all_is_well(case):
    """Healthy models and data have no finding, also where they look faulty, and no check raises an error."""
    make, x, y, arguments = HEALTHY[case]
    model = make()
    if not model.built:
        model(x[:1])
    outcomes = outcomes_without_training(model, x, y, **arguments)
    allowed = {"nothing found", "the model has its own `train_step`"}
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in allowed} == {}


def test_ignored_labels_of_weight_zero_are_no_finding():
    """A label out of range is no finding where its sample weight is 0."""
    labels, weights = LABELS.copy(), np.ones(len(LABELS), "float32")
    labels[:9], weights[:9] = 77, 0
    outcomes = outcomes_without_training(faulty.classifier(), X, labels, sample_weight=weights)
    assert outcomes["labels"] == "nothing found"


class Batches(keras.utils.PyDataset):
    """The rows in batches of 16, in their order."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return -(-len(self.y) // 16)

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * (index + 1))
        return keras.tree.map_structure(lambda leaf: leaf[rows], self.x), self.y[rows]


def as_tf_data(x, y):
    """Return a `tf.data.Dataset` of the rows in their order."""
    return pytest.importorskip("tensorflow").data.Dataset.from_tensor_slices((x, y)).batch(16)


def as_data_loader(x, y):
    """Return a `DataLoader` of the rows in their order."""
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(torch.as_tensor(x), torch.as_tensor(y))
    return torch.utils.data.DataLoader(tensors, batch_size=16)


def as_frame(x, y):
    """Return a DataFrame and a Series."""
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(x), pandas.Series(y)


KINDS = {"PyDataset": Batches, "tf.data": as_tf_data, "DataLoader": as_data_loader, "pandas": as_frame}


@pytest.mark.parametrize("kind", KINDS)
def test_faults_are_found_in_all_kinds_of_data(kind):
    """A constant feature, labels out of range and a batch of one row are found in each kind of data."""
    model = faulty.classifier(faulty.LOGITS, None, keras.layers.BatchNormalization())
    data = KINDS[kind](faulty.with_column(5)[:97], LABELS[:97] + 1)
    x, *y = data if isinstance(data, tuple) else (data,)
    names = [finding.name for finding in found(model, x, *y)]
    assert names == ["labels out of range", "constant features", "batch of one row"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pandas"])
def test_sorted_data_sets_are_found(kind):
    """A data set in the order of its classes has a finding, and in another order it has none."""
    x, y = np.tile(X, (2, 1)), np.tile(LABELS, 2)
    order = np.argsort(y, kind="stable")
    assert [one.name for one in found(faulty.classifier(), KINDS[kind](x[order], y[order]))] == ["sorted data"]
    assert found(faulty.classifier(), KINDS[kind](x, y)) == ()


def test_nested_inputs_are_named():
    """A column of a dict that is constant is named, and an input that is constant as a whole is none."""
    inputs = {name: keras.Input((width,), name=name) for name, width in (("a", 3), ("b", 3), ("state", 2))}
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()(list(inputs.values()))))
    model.compile("sgd", "mse")
    x = {"a": X[:, :3], "b": faulty.with_column(5)[:, :3], "state": np.zeros((len(X), 2))}
    (finding,) = found(model, x, NUMBERS)
    assert "1 of the 3 features of `x['b']` (1)" in finding.description


def test_a_rate_beyond_the_stable_range_is_found():
    """A learning rate at which training diverges is found, with the batch size, and a smaller one is not."""
    model = faulty.network(keras.layers.Dense(16, "relu"))
    findings = onecycle.check(model, X, NUMBERS, learning_rate=1e4)
    assert [finding.name for finding in findings] == ["unstable learning rate"]
    assert "with a batch size of 32" in findings[0].description
    findings = onecycle.check(model, X, NUMBERS)
    assert not findings
    assert findings.not_made == {}


@pytest.mark.parametrize("case", ["labels from 1", "dead ReLU"])
def test_check_leaves_no_trace(case):
    """Weights, optimizer, metrics and random states are as before, and so is the training that follows."""
    _, make, x, y, _ = FAULTS[case]
    model = make()
    model.compile("adam", model.loss, metrics=["accuracy"])
    states.seed(1)
    before, expected = states.of_model(model), states.draws()
    states.seed(1)
    assert found(model, x, y)
    assert states.difference(before, states.of_model(model)) == []
    assert states.draws() == expected
    assert not model.optimizer.built


def test_a_model_without_weights_is_built():
    """A model that has no weights yet is built and checked."""
    model = keras.Sequential([keras.layers.Dense(4, "softmax")])
    model.compile("sgd", faulty.LOGITS)
    assert [finding.name for finding in onecycle.check(model, X, LABELS)] == ["probabilities as logits"]


def test_generators_are_refused_unread():
    """A generator is refused before a batch is drawn from it."""
    batches = iter([(X[:16], NUMBERS[:16])] * 3)
    with pytest.raises(ValueError, match="would use up the first batches"):
        onecycle.check(faulty.network(), batches)
    assert len(list(batches)) == 3


def test_fit_one_cycle_warns_once_of_all_faults():
    """`fit_one_cycle` gives one warning with all faults, at the line of the call, and none where all is well."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        for x in (faulty.with_column(5), X):
            model = faulty.network(units=2)
            fit = {"epochs": 1, "max_learning_rate": 1e-3, "verbose": 0}
            onecycle.fit_one_cycle(model, x, NUMBERS if x is not X else X[:, :2], **fit)
    (warning,) = caught
    assert warning.filename == __file__
    assert "(1) The targets have the shape (n, 1) and the predictions (n, 2)" in str(warning.message)
    assert "(2) The same value is in all rows" in str(warning.message)


def test_fit_one_cycle_looks_at_the_rows_that_it_trains_on():
    """Rows that are held out by `validation_split` are not looked at."""
    labels = LABELS.copy()
    labels[-1] = 0
    x = X.copy()
    x[:, 1] = 5
    x[-1, 1] = 6
    fit = {"epochs": 1, "max_learning_rate": 1e-3, "verbose": 0, "validation_split": 0.1}
    with pytest.warns(UserWarning, match="The same value is in all rows"):
        onecycle.fit_one_cycle(faulty.classifier(), x, labels, **fit)
