"""`sweep_learning_rates`: short annealed runs from where the model is, judged on data they never see."""

import dataclasses

import keras
import numpy as np
import pytest
from oracles import reading, states

import onecycle
from onecycle.finding import sweep_data
from onecycle.finding.sweep import EXTENSIONS, FACTORS, LEAST_STEPS, SEARCH, Plan, sweep_learning_rates
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


def make(optimizer=None, loss="mse", outputs=1, normalise=False):
    """A small compiled model, always with the same weights."""
    keras.utils.set_random_seed(1)
    body = [layers.Dense(8, "tanh"), *([layers.BatchNormalization(), layers.Dropout(0.1)] if normalise else [])]
    model = keras.Sequential([keras.Input((4,)), *body, layers.Dense(outputs)])
    model.compile(optimizer or keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


@pytest.fixture(scope="module")
def swept():
    """A model that made some steps, what it was before the sweep, and the sweep judged on data given."""
    model = make(keras.optimizers.Adam(0.01), normalise=True)
    model.fit(X[:16], Y[:16], verbose=0)
    before, attributes = states.of_model(model), set(vars(model))
    states.seed(5)
    drawn = states.draws()
    states.seed(5)
    result = sweep_learning_rates(model, X, Y, validation_data=(X[:64], Y[:64]), **OPTIONS)
    assert states.draws() == drawn
    assert set(vars(model)) == attributes
    return model, before, result


def put_back(model, before):
    """Give the model the state that it was in before the sweep."""
    for variables, values in ((model.variables, before["model"]), (model.optimizer.variables, before["optimizer"])):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def test_the_model_is_left_as_it_was(swept):
    """Weights, BatchNorm, the optimizer's state; random generators and attributes are looked at as it ends."""
    model, before, _ = swept
    assert states.difference(before, states.of_model(model)) == []


def test_a_sweep_repeats(swept):
    """With the same seed the result is the same, whatever was drawn meanwhile."""
    model, before, result = swept
    put_back(model, before)
    assert sweep_learning_rates(model, X, Y, validation_data=(X[:64], Y[:64]), **OPTIONS) == result


def test_it_keeps_to_its_budget(swept):
    """All steps, range test included, are at most the share of the whole run that was asked for, and told."""
    result = swept[2]
    assert result.total_steps == TOTAL
    assert result.cost == (result.steps.sum() + len(result.range_test.learning_rates)) / TOTAL
    assert 0.4 < result.cost <= 0.8


def test_the_evidence_is_whole(swept, tmp_path):
    """The runs with their curves and scores, the pick with its interval, and all of it comes back."""
    result = swept[2]
    assert isinstance(result, Sweep)
    assert result.config["epochs"] == EPOCHS
    longest = result.steps == result.steps.max()
    assert longest.sum() in (len(FACTORS), len(FACTORS) + 1)
    for own in (longest, ~longest):  # there are shorter ones where the range test suggested nothing
        assert (np.diff(result.learning_rates[own]) > 0).all()
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


def test_a_score_is_what_fit_would_have_ended_with(swept):
    """The plain way, step by step: the model as it was, `fit` with the cycle on the same rows, `evaluate`."""
    model, before, result = swept
    held_out = X[:64], Y[:64]
    random = np.random.RandomState(OPTIONS["seed"])
    data = sweep_data.hold(X, Y, None, batch_size=BATCH, validation_data=held_out, random=random, share=1.0)
    seed = int(random.randint(2**31))
    for run in (0, -1):
        steps = int(result.steps[run])
        assert steps < data.steps  # so that the run is one epoch of a part
        x, y, _ = data.first(steps)
        model.fit(x, y, batch_size=BATCH, verbose=0)  # compiles, and builds what is not built
        put_back(model, before)
        keras.utils.set_random_seed(seed)
        cycle = onecycle.OneCycleScheduler(result.learning_rates[run])
        read = {"x": x, "y": y, "batch_size": BATCH}
        if COMPILED:
            read = reading.as_programs_do((x, y), seed=seed, batch_size=BATCH, epochs=1)
        model.fit(**read, verbose=0, callbacks=[cycle])
        score = model.evaluate(*held_out, batch_size=BATCH, verbose=0)
        assert result.scores[run] == pytest.approx(score, rel=1e-3)


def test_a_training_takes_its_peak_from_a_sweep():
    """Of a classifier with AdamW, judged on rows held out; `fit_one_cycle` tells what picked the peak and its cost."""
    kinds = (Y[:, 0] > 0).astype("int64")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = make(keras.optimizers.AdamW(0.01), loss, outputs=2)
    result = sweep_learning_rates(model, X, kinds, **OPTIONS)
    assert result.held_out == "Judged on 40 of 200 training rows, drawn at random and not trained on in the sweep."
    report = fit_one_cycle(model, X, kinds, epochs=2, max_learning_rate=result, verbose=0).onecycle
    assert (report.max_learning_rate, report.sweep, report.range_test) == (result.learning_rate, result, None)
    assert f"cost {result.cost:.2g} of a run" in report.summary()


def test_one_factor_on_all_rates_of_a_multi_optimizer():
    """The pick is the rate of the inner optimizer with the largest; the other keeps its proportion."""
    model = make()
    fast, slow = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.001)
    model.compile(keras.optimizers.MultiOptimizer(lambda variable: slow if "bias" in variable.path else fast), "mse")
    before = states.of_model(model)
    result = sweep_learning_rates(model, X, Y, **OPTIONS)
    assert result.learning_rate > 0
    assert states.difference(before, states.of_model(model)) == []


def test_data_sets_are_held_in_part():
    """Of a data set batches are drawn, some of them held out; the pick is found as of arrays."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)
    held = sweep_data.hold(dataset, None, None, batch_size=None, validation_data=None, random=RNG, share=0.4)
    assert held.batch_size == BATCH
    assert held.steps_per_epoch == ROWS // BATCH
    drawn = training_data.rows(held.train) + len(held.validation[0])
    assert drawn < ROWS
    assert "held" not in held.told
    with pytest.raises(ValueError, match="length of an epoch"):
        sweep_data.hold(
            dataset.filter(lambda *_: True), None, None, batch_size=None, validation_data=None, random=RNG, share=1.0
        )


class Rows(keras.utils.PyDataset):
    """The data, batch by batch."""

    def __len__(self):
        return ROWS // BATCH

    def __getitem__(self, k):
        return X[BATCH * k : BATCH * (k + 1)], Y[BATCH * k : BATCH * (k + 1)]


def data_set():
    """The kind of data set that users of the backend have."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)
    if keras.backend.backend() == "torch":
        from torch.utils.data import DataLoader

        return DataLoader(list(zip(X, Y, strict=True)), batch_size=BATCH)
    return Rows()


def test_a_data_set_is_swept():
    """From its first batch to the pick; the length of the whole run is that of all its batches."""
    model = make()
    before = states.of_model(model)
    options = {name: value for name, value in OPTIONS.items() if name != "batch_size"}
    result = sweep_learning_rates(model, data_set(), **options)
    assert (result.total_steps, result.config["batch_size"]) == (TOTAL, BATCH)
    assert result.learning_rate > 0
    assert states.difference(before, states.of_model(model)) == []


def test_what_is_judged_on_is_never_trained_on():
    """Held-out and training rows are all rows, each once; targets and weights go with their rows."""
    rows = np.arange(50)
    held = sweep_data.hold(
        {"a": rows}, rows, rows, batch_size=7, validation_data=None, random=np.random.RandomState(0), share=1.0
    )  # fmt: skip
    (x, y, weights), (x_out, y_out, weights_out) = held.train, held.validation
    assert sorted([*y, *y_out]) == rows.tolist()
    assert len(y_out) == 10
    for one, other in ((x["a"], y), (weights, y), (x_out["a"], y_out), (weights_out, y_out)):
        np.testing.assert_array_equal(one, other)
    assert held.steps == 6
    assert len(held.first(2)[1]) == 14


@pytest.mark.parametrize("total_steps", [140, 500, 100_000])
def test_a_plan_never_exceeds_its_budget(total_steps):
    """However often the best is at an end."""
    for budget in (0.8, 1.0, 3.0):
        plan = Plan(total_steps, budget)
        assert LEAST_STEPS <= plan.search <= plan.steps(0)
        for spent in (0, plan.search * (SEARCH + EXTENSIONS)):
            assert plan.range_test + spent + plan.steps(spent) * (len(FACTORS) + 1) <= plan.most


def test_without_a_pick_there_is_no_number(swept):
    """The rate is an error with the reason, for a person and for a training."""
    none = dataclasses.replace(swept[2], pick=Pick(None, None, "Every run diverged."))
    with pytest.raises(ValueError, match="picks no learning rate"):
        _ = none.learning_rate
    with pytest.raises(ValueError, match="Every run diverged"):
        fit_one_cycle(make(), X, Y, epochs=1, max_learning_rate=none)
    assert "picks no learning rate" in none.summary()


BAD = {
    "epochs": ({"epochs": 0}, "`epochs` must be >= 1"),
    "budget": ({"budget": 0.0}, "`budget` must be > 0"),
    "little": ({"budget": 0.1}, "Pass a larger `budget`"),
    "schedule": ({"schedule": onecycle.OneCycle(0.1, 10)}, "callable"),
    "momentum": ({"momentum": (0.8, 0.9)}, "momentum"),
    "seed": ({"seed": -1}, "`seed` must be >= 0"),
    "batch_size": ({"batch_size": 0}, "`batch_size` must be >= 1"),
    "generator": ({"x": (pair for pair in [(X, Y)]), "y": None}, "generator"),
    "validation": ({"validation_data": (X,)}, "validation_data"),
    "no data": ({"x": None}, "`x`"),
    "few rows": ({"x": X[:20], "y": Y[:20], "budget": 30.0}, "too few"),
    "frame": ({"x": dict, "y": None}, "length of an epoch"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case):
    """What makes no sense raises before any training, and the model is as it was."""
    arguments, message = BAD[case]
    model = make()
    before = states.of_model(model)
    with pytest.raises(ValueError, match=message):
        sweep_learning_rates(model, **{"x": X, "y": Y, **OPTIONS, **arguments})
    assert states.difference(before, states.of_model(model)) == []


def test_what_is_no_schedule_is_refused():
    """The callable must return a schedule; an optimizer without momentum has none to cycle."""
    with pytest.raises(TypeError, match="must return a keras LearningRateSchedule"):
        sweep_learning_rates(make(), X, Y, **OPTIONS, schedule=lambda steps, peak: peak)
    with pytest.raises(ValueError, match="no velocity"):
        sweep_learning_rates(make(keras.optimizers.SGD(0.1)), X, Y, **OPTIONS, momentum=(0.95, 0.85))


def test_fit_one_cycle_sweeps_by_itself(monkeypatch):
    """With "sweep" the runs see neither `validation_data` nor what `validation_split` cuts off."""
    seen = {}

    def spied(model, x, y, **options):
        seen.update(options, rows=len(x))
        raise KeyboardInterrupt

    monkeypatch.setattr("onecycle.planning.sweep_learning_rates", spied)
    with pytest.raises(KeyboardInterrupt):
        fit_one_cycle(
            make(), X, Y, epochs=EPOCHS, max_learning_rate="sweep", validation_split=0.25, initial_epoch=2, verbose=0
        )
    assert (seen["rows"], seen["epochs"]) == (150, EPOCHS - 2)
    assert "validation_data" not in seen


def test_where_the_range_test_suggests_nothing_shorter_runs_look_for_the_place():
    """On a model that is trained already no loss falls clearly: runs over decades come first, then those around."""
    model = make(keras.optimizers.SGD(0.1))
    model.fit(X, Y, batch_size=BATCH, epochs=60, verbose=0)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    noisy = (Y + RNG.normal(size=Y.shape)).astype("float32")
    result = sweep_learning_rates(model, X, noisy, validation_data=(X, noisy), **OPTIONS)
    assert result.range_test.suggestions["one_cycle"].learning_rate is None
    short = result.steps < result.steps.max()
    assert SEARCH <= short.sum() <= SEARCH + EXTENSIONS
    assert result.cost <= OPTIONS["budget"]
