"""Tests of `advise_batch_size`: the gradients and times that it measures, and what it leaves behind."""

import json

import keras
import numpy as np
import pytest
from oracles import faulty, states
from oracles.faulty import LABELS, NUMBERS, X

import onecycle
from onecycle.__main__ import main
from onecycle.finding import gradient_noise, step_times
from onecycle.keras_support.gradients import gradient_function
from onecycle.keras_support.snapshot import preserving

SIZES = {"batch_sizes": [8, 16, 32], "training_steps": 5, "micro_batches": 16, "verbose": 0, "seed": 0}


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """Time few steps, since no test looks at the numbers."""
    monkeypatch.setattr(step_times, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(step_times, "REPEATS", 1)


def linear_model():
    """Return a compiled linear model with weights of zero."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def test_products_of_gradients_are_those_of_the_batches(monkeypatch):
    """The products equal those of gradients by hand, whatever the order of the rows; folded ones nearly so."""
    model = linear_model()

    def measured():
        model.evaluate(X, NUMBERS, verbose=0)  # builds the loss
        arguments = {"batches": 10, "rows": 16, "seed": 3}
        gradients = gradient_function(model)
        return gradient_noise.gradient_products(gradients, (X, NUMBERS, None), None, **arguments)

    found = preserving(model, measured)
    order = np.random.default_rng(3).permutation(len(X)).reshape(10, 16)
    # Of the squared error of a prediction of 0.
    by_hand = np.stack([-2 * np.mean(NUMBERS[rows] * np.c_[X[rows], np.ones(16)], axis=0) for rows in order])
    np.testing.assert_allclose(found, by_hand @ by_hand.T, rtol=1e-4, atol=1e-6)
    monkeypatch.setattr(gradient_noise, "MAX_LENGTH", 4)
    folded = preserving(model, measured)
    assert np.corrcoef(folded.ravel(), found.ravel())[0, 1] > 0.5


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_batch_size_is_advised_without_a_trace(optimizer):
    """The advice has a time for each size and the scaling of the optimizer, and everything is as before."""
    model = faulty.classifier()
    model.compile(optimizer, model.loss, metrics=["accuracy"])
    states.seed(1)
    before, expected = states.of_model(model), states.draws()
    states.seed(1)
    advice = onecycle.advise_batch_size(model, X, LABELS, **SIZES)
    assert states.difference(before, states.of_model(model)) == []
    assert states.draws() == expected
    assert not model.optimizer.built
    assert advice.batch_sizes.tolist() == [8, 16, 32]
    assert (advice.step_seconds > 0).all()
    assert advice.scaling == {"sgd": "linear", "adam": "square root"}[optimizer]
    assert (advice.micro_batches, advice.micro_batch_size) == (16, 10)
    assert advice.interval[0] <= advice.noise_scale <= advice.interval[1]


@pytest.mark.one_backend
def test_the_same_seed_gives_an_equal_advice():
    """With a seed, a second measurement gives an equal advice, whatever the times."""
    advices = [onecycle.advise_batch_size(linear_model(), X, NUMBERS, **SIZES) for _ in range(2)]
    assert advices[0] == advices[1]


@pytest.mark.one_backend
def test_targets_of_noise_have_a_larger_noise_scale():
    """Targets that do not depend on the inputs give a larger noise scale, or no advice at all."""
    random = np.random.default_rng(0).normal(size=NUMBERS.shape).astype("float32")
    clear, noisy = (onecycle.advise_batch_size(linear_model(), X, y, **SIZES) for y in (NUMBERS, random))
    assert noisy.noise_scale > 3 * clear.noise_scale


@pytest.mark.one_backend
def test_data_sets_are_read():
    """The batches of a data set are joined, and the batch size is theirs."""

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            rows = slice(16 * index, 16 * (index + 1))
            return X[rows], NUMBERS[rows]

    advice = onecycle.advise_batch_size(linear_model(), Batches(), **SIZES)
    assert advice.current_batch_size == 16


REFUSED = {
    "generator": (linear_model, iter([(X, NUMBERS)]), None, "several times"),
    "few rows": (linear_model, X[:40], NUMBERS[:40], "at least 64 rows"),
    "own step": (faulty.with_own_step, X, NUMBERS, "own `train_step`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_measured_is_refused(case):
    """Generators, too few rows and models with their own training step are refused with the reason."""
    make, x, y, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        onecycle.advise_batch_size(make(), x, y, **{**SIZES, "batch_sizes": None})


def test_sizes_beyond_the_rows_are_refused():
    """A batch size above the number of rows is refused."""
    with pytest.raises(ValueError, match="up to the number of rows, 160"):
        onecycle.advise_batch_size(linear_model(), X, NUMBERS, batch_sizes=[8, 200])


@pytest.mark.one_backend
def test_sizes_that_do_not_fit_are_left_out():
    """A size for which the memory is too small ends the list, and is an error if it is the first one."""
    model = linear_model()
    train = step_times.trainer(model, (X, NUMBERS, None), None)

    def small(rows, size):
        if size >= 16:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 byte")
        train(rows, size)

    found = preserving(model, lambda: list(step_times.step_seconds(model, small, len(X), [8, 16, 32])))
    assert [size for size, _ in found] == [8]
    with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED"):
        preserving(model, lambda: list(step_times.step_seconds(model, small, len(X), [16, 32])))


def test_a_larger_batch_is_no_faster():
    """A time that another program has lengthened is not above that of a larger batch."""
    assert step_times.not_falling([1.0, 5.0, 2.0, 4.0]).tolist() == [1.0, 2.0, 2.0, 4.0]


CODE = """
from oracles import faulty

def make():
    return faulty.network(), faulty.X, faulty.NUMBERS
"""


@pytest.mark.one_backend
def test_the_command_prints_the_advice(tmp_path, monkeypatch, capsys):
    """`batch-size` prints the advice as JSON, with the exit code 0 if there is one and 1 if it cannot tell."""
    (tmp_path / "sized.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    code = main(["batch-size", "sized.py:make", "--training-steps", "2", "--seed", "0", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert code == (facts["batch_size"] is None)
    assert facts["batch_sizes"] == [8, 16, 32]
