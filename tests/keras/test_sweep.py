"""Tests of `sweep_learning_rates`, which trains short annealed runs and scores them on held-out data."""

import dataclasses

import keras
import numpy as np
import pytest
from oracles import reading, states

import onecycle
from onecycle.finding.sweep import MAX_SEARCH_EXTENSIONS, sweep_learning_rates
from onecycle.finding.sweep_budget import FACTORS, MIN_STEPS_PER_RUN, SEARCH_RUNS, SweepBudget
from onecycle.finding.sweep_data import prepare_sweep_data
from onecycle.keras_support import training_data
from onecycle.results import Pick, Sweep
from onecycle.training.fitting import fit_one_cycle

layers = keras.layers
COMPILED = keras.backend.backend() in ("jax", "tensorflow")
ROWS, BATCH, EPOCHS = 200, 8, 8
TOTAL = EPOCHS * ROWS // BATCH
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4)).astype("float32")
Y = (X @ RNG.normal(size=(4, 1)) + 0.1 * RNG.normal(size=(ROWS, 1))).astype("float32")
OPTIONS = {"epochs": EPOCHS, "batch_size": BATCH, "budget": 0.8, "seed": 3, "verbose": 0}


def compiled_model(optimizer=None, loss="mse", outputs=1, normalise=False):
    """Return a small compiled model, always with the same weights."""
    keras.utils.set_random_seed(1)
    body = [layers.Dense(8, "tanh"), *([layers.BatchNormalization(), layers.Dropout(0.1)] if normalise else [])]
    model = keras.Sequential([keras.Input((4,)), *body, layers.Dense(outputs)])
    model.compile(optimizer or keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


@pytest.fixture(scope="module")
def sweep_run():
    """Return a model with some training, its state before the sweep, and the sweep with validation data."""
    model = compiled_model(keras.optimizers.Adam(0.01), normalise=True)
    model.fit(X[:16], Y[:16], verbose=0)
    before, attributes = states.of_model(model), set(vars(model))
    states.seed(5)
    expected_draws = states.draws()
    states.seed(5)
    result = sweep_learning_rates(model, X, Y, validation_data=(X[:64], Y[:64]), **OPTIONS)
    # Checked here, before a test draws random numbers or trains.
    assert states.draws() == expected_draws
    assert set(vars(model)) == attributes
    return model, before, result


def restore(model, before):
    """Restore the state of the model before the sweep."""
    for variables, values in ((model.variables, before["model"]), (model.optimizer.variables, before["optimizer"])):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def test_sweep_restores_the_model(sweep_run):
    """A sweep restores the weights, the batch normalization statistics and the optimizer's variables."""
    model, before, _ = sweep_run
    assert states.difference(before, states.of_model(model)) == []


@pytest.mark.one_backend
def test_same_seed_gives_the_same_sweep(sweep_run):
    """Two sweeps with the same seed are equal, whatever random numbers were drawn in between."""
    model, before, result = sweep_run
    restore(model, before)
    assert sweep_learning_rates(model, X, Y, validation_data=(X[:64], Y[:64]), **OPTIONS) == result


def test_cost_stays_within_the_budget(sweep_run):
    """A sweep takes at most the given share of the steps of a whole run, range test included, and reports its cost."""
    result = sweep_run[2]
    assert result.total_steps == TOTAL
    # The range test may have made a few steps after the last one that counts.
    assert result.range_test.training_steps >= len(result.range_test.learning_rates)
    assert result.cost == (result.steps.sum() + result.range_test.training_steps) / TOTAL
    assert 0.4 < result.cost <= 0.8


def test_result_is_complete_and_can_be_saved(sweep_run, tmp_path):
    """The result has every run with its curve and score and a pick inside its interval, and loads as it was saved."""
    result = sweep_run[2]
    assert isinstance(result, Sweep)
    assert result.config["epochs"] == EPOCHS
    longest = result.steps == result.steps.max()
    assert longest.sum() in (len(FACTORS), len(FACTORS) + 1)
    for selected in (longest, ~longest):  # shorter runs exist if the range test suggested nothing
        assert (np.diff(result.learning_rates[selected]) > 0).all()
    assert np.isfinite(result.scores[longest]).all()
    parts = np.isfinite(result.curves).sum(axis=1)
    np.testing.assert_array_equal(parts[longest], np.minimum(result.steps[longest], 200))
    low, high = result.interval
    assert low <= result.learning_rate <= high
    assert "validation_data" in result.held_out
    assert result.initial_score > np.nanmin(result.scores)
    assert f"{result.learning_rate:.3g}" in result.summary()
    result.save(tmp_path / "sweep.json")
    assert onecycle.load(tmp_path / "sweep.json") == result


def test_score_equals_that_of_fit(sweep_run):
    """The score of a run is that of `fit` with the cycle on the same rows, followed by `evaluate`."""
    model, before, result = sweep_run
    held_out = X[:64], Y[:64]
    random = np.random.RandomState(OPTIONS["seed"])
    data = prepare_sweep_data(
        model, X, Y, None, batch_size=BATCH, validation_data=held_out, random=random, epochs_read=1.0
    )
    seed = int(random.randint(2**31))
    for run in (0, -1):
        steps = int(result.steps[run])
        assert steps < data.train_steps_per_epoch  # the run is one epoch on a part of the rows
        x, y, _ = data.first(steps)
        model.fit(x, y, batch_size=BATCH, verbose=0)  # compiles, and builds the variables
        restore(model, before)
        keras.utils.set_random_seed(seed)
        cycle = onecycle.OneCycleScheduler(result.learning_rates[run])
        batches = {"x": x, "y": y, "batch_size": BATCH}
        if COMPILED:
            batches = reading.in_program_order((x, y), seed=seed, batch_size=BATCH, epochs=1)
        model.fit(**batches, verbose=0, callbacks=[cycle])
        score = model.evaluate(*held_out, batch_size=BATCH, verbose=0)
        assert result.scores[run] == pytest.approx(score, rel=1e-3)


@pytest.mark.one_backend
def test_fit_one_cycle_takes_its_peak_from_a_sweep():
    """`fit_one_cycle` takes its peak from the sweep of a classifier with AdamW, and reports the sweep and its cost."""
    labels = (Y[:, 0] > 0).astype("int64")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = compiled_model(keras.optimizers.AdamW(0.01), loss, outputs=2)
    result = sweep_learning_rates(model, X, labels, **OPTIONS)
    assert result.held_out == "Judged on 40 of 200 training rows, drawn at random and not trained on in the sweep."
    report = fit_one_cycle(model, X, labels, epochs=2, max_learning_rate=result, verbose=0).onecycle
    assert (report.max_learning_rate, report.sweep, report.range_test) == (result.learning_rate, result, None)
    assert f"cost {result.cost:.2g} of a run" in report.summary()


@pytest.mark.one_backend
def test_sweep_takes_a_multi_optimizer():
    """A model with a `MultiOptimizer` can be swept, and is unchanged afterwards."""
    model = compiled_model()
    fast, slow = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.001)
    model.compile(keras.optimizers.MultiOptimizer(lambda variable: slow if "bias" in variable.path else fast), "mse")
    before = states.of_model(model)
    result = sweep_learning_rates(model, X, Y, **OPTIONS)
    assert result.learning_rate > 0
    assert states.difference(before, states.of_model(model)) == []


def test_a_part_of_a_dataset_is_drawn():
    """A sweep draws training and held-out rows from a part of a dataset, and refuses a dataset of unknown length."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)
    model = compiled_model()
    data = prepare_sweep_data(
        model, dataset, None, None, batch_size=None, validation_data=None, random=RNG, epochs_read=0.4
    )
    assert data.batch_size == BATCH
    assert data.steps_per_epoch == ROWS // BATCH
    assert training_data.count_rows(data.train) + len(data.validation[0]) < ROWS
    assert "held" not in data.description
    with pytest.raises(ValueError, match="length of this data set"):
        prepare_sweep_data(
            model,
            dataset.filter(lambda *_: True),
            None,
            None,
            batch_size=None,
            validation_data=None,
            random=RNG,
            epochs_read=1.0,
        )


class Rows(keras.utils.PyDataset):
    """The training data as a `PyDataset`."""

    def __len__(self):
        return ROWS // BATCH

    def __getitem__(self, k):
        return X[BATCH * k : BATCH * (k + 1)], Y[BATCH * k : BATCH * (k + 1)]


def backend_dataset():
    """Return a dataset of the kind that users of the backend have."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)
    if keras.backend.backend() == "torch":
        from torch.utils.data import DataLoader

        return DataLoader(list(zip(X, Y, strict=True)), batch_size=BATCH)
    return Rows()


@pytest.mark.one_backend
def test_sweep_takes_a_dataset():
    """A dataset can be swept, and the length of the whole run is that of all its batches."""
    model = compiled_model()
    before = states.of_model(model)
    options = {name: value for name, value in OPTIONS.items() if name != "batch_size"}
    result = sweep_learning_rates(model, backend_dataset(), **options)
    assert (result.total_steps, result.config["batch_size"]) == (TOTAL, BATCH)
    assert result.learning_rate > 0
    assert states.difference(before, states.of_model(model)) == []


@pytest.mark.one_backend
def test_batches_of_a_model_with_a_fixed_batch_size_are_whole():
    """A stateful layer takes batches of one size only, so parts of batches are neither trained on nor held out."""
    keras.utils.set_random_seed(1)
    body = [layers.Reshape((2, 2)), layers.SimpleRNN(3, stateful=True), layers.Dense(1)]
    model = keras.Sequential([keras.Input((4,), batch_size=16), *body])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    result = sweep_learning_rates(model, X[:192], Y[:192], **{**OPTIONS, "batch_size": 16, "epochs": 20})
    assert result.held_out.startswith("Judged on 32 of 192 training rows")
    assert np.isfinite(result.scores).any()


def test_held_out_rows_are_not_trained_on():
    """Each row is either trained on or held out, and targets and weights stay with their rows."""
    rows = np.arange(50)
    data = prepare_sweep_data(
        compiled_model(), {"a": rows}, rows, rows, batch_size=7, validation_data=None,
        random=np.random.RandomState(0), epochs_read=1.0,
    )  # fmt: skip
    (x, y, weights), (x_out, y_out, weights_out) = data.train, data.validation
    assert sorted([*y, *y_out]) == rows.tolist()
    assert len(y_out) == 10
    for one, other in ((x["a"], y), (weights, y), (x_out["a"], y_out), (weights_out, y_out)):
        np.testing.assert_array_equal(one, other)
    assert data.train_steps_per_epoch == 6
    assert len(data.first(2)[1]) == 14


@pytest.mark.parametrize("total_steps", [140, 500, 100_000])
def test_parts_of_a_sweep_fit_its_budget(total_steps):
    """The parts of a sweep fit its budget, even if the search is extended as often as it may be."""
    for share in (0.8, 1.0, 3.0):
        budget = SweepBudget(total_steps, share)
        assert MIN_STEPS_PER_RUN <= budget.search_steps <= budget.steps_per_run(0)
        for spent in (0, budget.search_steps * (SEARCH_RUNS + MAX_SEARCH_EXTENSIONS)):
            assert (
                budget.range_test_steps + spent + budget.steps_per_run(spent) * (len(FACTORS) + 1) <= budget.sweep_steps
            )


def test_sweep_without_a_pick_raises_with_the_reason(sweep_run):
    """The learning rate of a sweep without a pick is an error with the reason, and so is training with that sweep."""
    none = dataclasses.replace(sweep_run[2], pick=Pick(None, None, "Every run diverged."))
    with pytest.raises(ValueError, match="picks no learning rate"):
        _ = none.learning_rate
    with pytest.raises(ValueError, match="Every run diverged"):
        fit_one_cycle(compiled_model(), X, Y, epochs=1, max_learning_rate=none)
    assert "picks no learning rate" in none.summary()


BAD = {
    "epochs": ({"epochs": 0}, "`epochs` must be >= 1"),
    "budget": ({"budget": 0.0}, "`budget` must be > 0"),
    "small budget": ({"budget": 0.1}, "Pass a larger `budget`"),
    "schedule": ({"schedule": onecycle.OneCycle(0.1, 10)}, "callable"),
    "momentum": ({"momentum": (0.8, 0.9)}, "momentum"),
    "seed": ({"seed": -1}, "`seed` must be >= 0"),
    "batch_size": ({"batch_size": 0}, "`batch_size` must be >= 1"),
    "generator": ({"x": (pair for pair in [(X, Y)]), "y": None}, "generator"),
    "validation": ({"validation_data": (X,)}, "validation_data"),
    "no data": ({"x": None}, "`x`"),
    "few rows": ({"x": X[:20], "y": Y[:20], "budget": 30.0}, "too few"),
    "no data set": ({"x": dict, "y": None}, "Unrecognized data type"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case):
    """A bad argument is refused before any training, and the model is unchanged."""
    arguments, message = BAD[case]
    model = compiled_model()
    before = states.of_model(model)
    with pytest.raises(ValueError, match=message):
        sweep_learning_rates(model, **{"x": X, "y": Y, **OPTIONS, **arguments})
    assert states.difference(before, states.of_model(model)) == []


def test_schedule_and_momentum_must_be_possible():
    """A callable that returns no schedule is refused, and so is momentum for an optimizer that has none."""
    with pytest.raises(TypeError, match="must return a keras LearningRateSchedule"):
        sweep_learning_rates(compiled_model(), X, Y, **OPTIONS, schedule=lambda steps, peak: peak)
    with pytest.raises(ValueError, match="no velocity"):
        sweep_learning_rates(compiled_model(keras.optimizers.SGD(0.1)), X, Y, **OPTIONS, momentum=(0.95, 0.85))


@pytest.mark.one_backend
def test_validation_rows_are_kept_out_of_the_sweep(monkeypatch):
    """With "sweep", `fit_one_cycle` gives the sweep neither `validation_data` nor the rows of `validation_split`."""
    received = {}

    def stub(model, x, y, **options):
        received.update(options, rows=len(x))
        raise KeyboardInterrupt

    monkeypatch.setattr("onecycle.training.peak.sweep_learning_rates", stub)
    with pytest.raises(KeyboardInterrupt):
        fit_one_cycle(
            compiled_model(),
            X,
            Y,
            epochs=EPOCHS,
            max_learning_rate="sweep",
            validation_split=0.25,
            initial_epoch=2,
            verbose=0,
        )
    assert (received["rows"], received["epochs"]) == (150, EPOCHS - 2)
    assert "validation_data" not in received


@pytest.mark.one_backend
def test_short_runs_search_if_the_range_test_suggests_nothing():
    """If the range test suggests nothing, short runs search over decades first, and the budget still holds."""
    model = compiled_model(keras.optimizers.SGD(0.1))
    model.fit(X, Y, batch_size=BATCH, epochs=60, verbose=0)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    noisy = (Y + RNG.normal(size=Y.shape)).astype("float32")
    result = sweep_learning_rates(model, X, noisy, validation_data=(X, noisy), **OPTIONS)
    assert result.range_test.suggestions["one_cycle"].learning_rate is None
    short = result.steps < result.steps.max()
    assert SEARCH_RUNS <= short.sum() <= SEARCH_RUNS + MAX_SEARCH_EXTENSIONS
    assert result.cost <= OPTIONS["budget"]
