"""Tests that `train_members` equals `fit` for each member and restores the model."""

import keras
import numpy as np
import pytest
from oracles import states
from oracles.members import (
    BATCH,
    CYCLE,
    EPOCHS,
    STEPS,
    adam,
    arrays,
    convolutional,
    dense,
    each_engine,
    fit_data,
    make,
    plain,
    sgd,
)

import onecycle
from onecycle.engine import Member, train_members

SHORT = 37  # number of rows with a short last batch, which is a second step to compile


def run_fit(body, optimizer, member, x, y, validation, engine):
    """Return history and weights of the `fit` that a member must equal."""
    model = make(body, optimizer, metrics=["mae"])
    model.train_on_batch(x[:BATCH], y[:BATCH])  # builds the optimizer, the loss and the metrics
    fresh = make(body, optimizer, metrics=["mae"])
    fresh.optimizer.build(fresh.trainable_variables)
    for variable, value in zip(model.variables, fresh.variables, strict=True):
        variable.assign(value)
    for variable, value in zip(model.optimizer.variables, fresh.optimizer.variables, strict=True):
        variable.assign(value)
    onecycle.schedule_hyperparameters(model, learning_rate=member.learning_rate, momentum=member.momentum)
    keras.utils.set_random_seed(member.seed)
    data = fit_data(engine, x, y, member.seed, EPOCHS)
    history = model.fit(**data, epochs=EPOCHS, validation_data=validation, verbose=0).history
    return history, model.get_weights()


@each_engine
@pytest.mark.parametrize(("body", "optimizer"), [(dense, adam), (convolutional, sgd)])
def test_each_member_equals_fit(body, optimizer, engine):
    """Metrics, validation and last weights agree with `fit` to float32, for a constant rate and for a cycle."""
    model = make(body, optimizer, metrics=["mae"])
    x, y = arrays(model, SHORT)
    validation = arrays(model, rows=19, seed=1)
    members = [Member(0.02, seed=5), Member(CYCLE, CYCLE.momentum(), seed=6)]
    runs = train_members(
        model, x, y, members=members, epochs=EPOCHS, batch_size=BATCH, validation_data=validation, validate="each",
        weights=True, engine=engine,
    )  # fmt: skip
    assert (runs.engine, runs.losses.shape, runs.diverged_at) == (engine, (2, STEPS), (None, None))
    for k, member in enumerate(members):
        if k == 0:  # if one member has a momentum, that of the others is scheduled too
            member = Member(0.02, 0.9, seed=5)
        history, weights = run_fit(body, optimizer, member, x, y, validation, engine)
        for name in ("loss", "mae"):
            np.testing.assert_allclose(runs.metrics[name][k], history[name], rtol=2e-5)
            np.testing.assert_allclose(runs.validation[name][k], history[f"val_{name}"], rtol=2e-5)
        for found, expected in zip(runs.weights[k], weights, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)
        sizes = [BATCH] * 4 + [SHORT % BATCH]
        means = np.average(runs.losses[k].reshape(EPOCHS, 5), axis=1, weights=sizes)
        np.testing.assert_allclose(means, history["loss"], rtol=2e-5)


@each_engine
def test_a_member_may_start_from_another_model(engine):
    """The run uses that model's weights, BatchNorm statistics and dropout seeds, and the other member is unaffected."""
    model = make(dense)
    x, y = arrays(model)
    keras.utils.set_random_seed(7)
    other = keras.models.clone_model(model)
    options = {"epochs": EPOCHS, "batch_size": BATCH, "weights": True, "engine": engine}
    both = train_members(model, x, y, members=[Member(0.02), Member(0.02, start=other)], **options)
    other.compile(sgd(), loss="mse")
    alone = train_members(other, x, y, members=[0.02], **options)
    assert not np.allclose(both.losses[0], both.losses[1], rtol=1e-2)
    np.testing.assert_allclose(both.losses[1], alone.losses[0], rtol=1e-5)
    for found, expected in zip(both.weights[1], alone.weights[0], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)
    with pytest.raises(ValueError, match="with the same variables"):
        train_members(model, x, y, members=[Member(0.02, start=make(plain))], epochs=1, engine=engine)


@each_engine
def test_a_diverging_member_does_not_affect_the_others(engine):
    """Its step of divergence is reported and later values are NaN, while the other member equals a run without it."""
    model = make()
    x, y = arrays(model)
    options = {"epochs": EPOCHS, "batch_size": BATCH, "validation_data": (x, y), "weights": True, "engine": engine}
    both = train_members(model, x, y, members=[1e30, 0.01], **options)
    alone = train_members(model, x, y, members=[0.01], **options)
    step = both.diverged_at[0]
    assert 0 < step < STEPS
    assert both.diverged.tolist() == [True, False]
    assert np.isfinite(both.losses[0, :step]).all()
    assert np.isnan(both.losses[0, step + 1 :]).all()
    assert np.isnan(both.metrics["loss"][0, step // 5 :]).all()
    assert np.isnan(both.validation["loss"][0, -1])
    np.testing.assert_allclose(both.losses[1], alone.losses[0], rtol=1e-6)
    np.testing.assert_allclose(both.validation["loss"][1], alone.validation["loss"][0], rtol=1e-6)
    for found, expected in zip(both.weights[1], alone.weights[0], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@each_engine
@pytest.mark.parametrize("trained", [False, True])
def test_the_model_is_restored(engine, trained):
    """Variables, an unbuilt optimizer, compiled functions, attributes and random generators are as before the call."""
    model = make(dense if trained else plain, adam)
    x, y = arrays(model)
    if trained:
        model.fit(x, y, verbose=0)
    before, attributes = states.of_model(model), set(vars(model))
    states.seed(4)
    drawn = states.draws()
    states.seed(4)
    runs = train_members(model, x, y, members=[0.01, (CYCLE, CYCLE.momentum(), 3)], epochs=2, engine=engine)
    assert np.ptp(runs.losses[:, -1]) > 0
    assert states.difference(before, states.of_model(model)) == []
    assert set(vars(model)) == attributes
    assert model.optimizer.built == trained
    assert states.draws() == drawn


@each_engine
def test_runs_start_from_the_current_state(engine):
    """Runs of a trained model start from its weights, and schedules start with the run, not at the step counter."""
    model = make(optimizer=sgd)
    x, y = arrays(model)
    model.fit(x, y, epochs=2, verbose=0)
    decay = keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.5)  # a schedule of Keras, without `shifted`
    runs = train_members(model, x, y, members=[decay], epochs=2, batch_size=BATCH, engine=engine, weights=True)
    steps = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
    rates = 0.05 * 0.5 ** (np.arange(steps + 10) / 3)
    onecycle.schedule_hyperparameters(model, learning_rate=_ListedValues(np.concatenate([rates[:steps], rates])))
    keras.utils.set_random_seed(0)
    history = model.fit(**fit_data(engine, x, y, 0, 2), epochs=2, verbose=0).history
    np.testing.assert_allclose(runs.metrics["loss"][0], history["loss"], rtol=2e-5)


class _ListedValues(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule with listed values."""

    def __init__(self, values):
        self.values_ = np.asarray(values, "float32")

    def __call__(self, step):
        return keras.ops.take(keras.ops.convert_to_tensor(self.values_), step)


@each_engine
def test_an_evaluated_model_is_validated_on_all_rows(engine):
    """A test function compiled earlier for one step per call is not mistaken for one that makes several steps."""
    model = make()
    x, y = arrays(model)
    options = {"members": [0.01], "epochs": 1, "validation_data": (x, y), "engine": engine, "batch_size": BATCH}
    fresh = train_members(model, x, y, **options).validation["loss"]
    model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(train_members(model, x, y, **options).validation["loss"], fresh, rtol=1e-6)


@each_engine
def test_each_call_uses_its_hyperparameters(engine):
    """A later call with the same shapes does not use the hyperparameters of an earlier one."""
    model = make()
    x, y = arrays(model)
    options = {"epochs": 1, "batch_size": BATCH, "engine": engine}
    members = (0.01, (0.01, 0.2), (0.01, 0.9))
    found = [train_members(model, x, y, members=[member], **options).losses[0] for member in members]
    assert not np.allclose(found[0], found[1], rtol=1e-4)
    np.testing.assert_allclose(found[0], found[2], rtol=1e-5)  # the optimizer was built with 0.9


@each_engine
def test_variables_excluded_from_weight_decay_are_respected(engine):
    """An exclusion made between two calls changes the second one."""
    model = make(optimizer=lambda: keras.optimizers.AdamW(0.01, weight_decay=1.0))
    x, y = arrays(model)
    options = {"members": [0.1], "epochs": 2, "batch_size": BATCH, "engine": engine}
    decayed = train_members(model, x, y, **options).losses
    model.optimizer.exclude_from_weight_decay(var_names=["kernel"])
    assert not np.allclose(train_members(model, x, y, **options).losses, decayed, rtol=1e-4)
