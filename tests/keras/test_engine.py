"""`train_members` gives what `fit` gives, for many members, and leaves the model as it was."""

import gc
import weakref

import keras
import numpy as np
import pytest
from oracles import reading, states

import onecycle
from onecycle.engine import Member, choice, train_members
from onecycle.engine.suited import unsuited

layers = keras.layers
COMPILED = {"jax": ("vmap", "scan"), "tensorflow": ("scan",)}.get(keras.backend.backend(), ())
each_engine = pytest.mark.parametrize("engine", [*COMPILED, "fit"])
programs_only = pytest.mark.skipif(not COMPILED, reason="PyTorch has no compiled programs")
jax_only = pytest.mark.skipif(keras.backend.backend() != "jax", reason="only on JAX is `fit` ever the faster one")
ROWS, BATCH, EPOCHS = 40, 8, 3
SHORT = 37  # rows of which the last batch is short; that is a second step to compile
STEPS = 5 * EPOCHS
CYCLE = onecycle.OneCycle(0.05, STEPS)


def sgd():
    """SGD with momentum."""
    return keras.optimizers.SGD(0.01, momentum=0.9)


def adam():
    """Adam that keeps moving averages, which `fit` writes into the weights as it ends."""
    return keras.optimizers.Adam(0.01, use_ema=True)


def plain():
    """One dense layer before the last."""
    return [keras.Input((4,)), layers.Dense(4, "tanh")]


def dense():
    """BatchNormalization and dropout between two dense layers."""
    return [keras.Input((4,)), layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dropout(0.3)]


def convolutional():
    """A convolution."""
    return [keras.Input((4, 4, 1)), layers.Conv2D(3, 3, activation="relu"), layers.Flatten()]


def make(body=plain, optimizer=sgd, **compiled):
    """A small model that is compiled but has not trained."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([*body(), layers.Dense(1)])
    model.compile(optimizer(), **{"loss": "mse", **compiled})
    return model


def arrays(model, rows=ROWS, seed=0):
    """Inputs and targets that the model can learn."""
    x = np.random.default_rng(seed).normal(size=(rows, *model.input_shape[1:])).astype("float32")
    return x, 2 * x.reshape(rows, -1)[:, :1]


def read(engine, x, y, seed, epochs):
    """Arguments of the `fit` that reads the rows as the engine does."""
    if engine == "fit":
        return {"x": x, "y": y, "batch_size": BATCH}
    return reading.as_programs_do((x, y), seed=seed, batch_size=BATCH, epochs=epochs)


def fitted(body, optimizer, member, x, y, validation, engine):
    """History and weights of the very `fit` that a member stands for."""
    model = make(body, optimizer, metrics=["mae"])
    model.train_on_batch(x[:BATCH], y[:BATCH])  # builds what there is
    fresh = make(body, optimizer, metrics=["mae"])
    fresh.optimizer.build(fresh.trainable_variables)
    for variable, value in zip(model.variables, fresh.variables, strict=True):
        variable.assign(value)
    for variable, value in zip(model.optimizer.variables, fresh.optimizer.variables, strict=True):
        variable.assign(value)
    onecycle.schedule_hyperparameters(model, learning_rate=member.learning_rate, momentum=member.momentum)
    keras.utils.set_random_seed(member.seed)
    data = read(engine, x, y, member.seed, EPOCHS)
    history = model.fit(**data, epochs=EPOCHS, validation_data=validation, verbose=0).history
    return history, model.get_weights()


@each_engine
@pytest.mark.parametrize(("body", "optimizer"), [(dense, adam), (convolutional, sgd)])
def test_a_member_is_what_fit_would_have_been(body, optimizer, engine):
    """Metrics of every epoch, validation and last weights, with a constant rate and with a cycle, agree to float32."""
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
        if k == 0:  # where some have a momentum of their own, the others' is scheduled too
            member = Member(0.02, 0.9, seed=5)
        history, weights = fitted(body, optimizer, member, x, y, validation, engine)
        for name in ("loss", "mae"):
            np.testing.assert_allclose(runs.metrics[name][k], history[name], rtol=2e-5)
            np.testing.assert_allclose(runs.validation[name][k], history[f"val_{name}"], rtol=2e-5)
        for own, expected in zip(runs.weights[k], weights, strict=True):
            np.testing.assert_allclose(own, expected, rtol=1e-4, atol=2e-6)
        sizes = [BATCH] * 4 + [SHORT % BATCH]
        means = np.average(runs.losses[k].reshape(EPOCHS, 5), axis=1, weights=sizes)
        np.testing.assert_allclose(means, history["loss"], rtol=2e-5)


@each_engine
def test_a_member_may_begin_as_another_model(engine):
    """Its weights, BatchNorm and dropout's random numbers are that model's; the member beside it keeps the model's."""
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
    for one, expected in zip(both.weights[1], alone.weights[0], strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=2e-6)
    with pytest.raises(ValueError, match="with the same variables"):
        train_members(model, x, y, members=[Member(0.02, start=make(plain))], epochs=1, engine=engine)


@each_engine
def test_a_member_that_diverges_troubles_no_other(engine):
    """It is marked with its step and has no number afterwards; the one beside it is what it is alone."""
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
    for one, other in zip(both.weights[1], alone.weights[0], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@each_engine
@pytest.mark.parametrize("trained", [False, True])
def test_the_model_is_left_as_it_was(engine, trained):
    """Variables, an optimizer that was not built, the compiled functions, attributes and the random generators."""
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
def test_runs_go_on_from_where_the_model_is(engine):
    """A schedule begins with the run, not with the optimizer's counter, and a trained model starts from its weights."""
    model = make(optimizer=sgd)
    x, y = arrays(model)
    model.fit(x, y, epochs=2, verbose=0)
    decay = keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.5)  # of Keras' own: it cannot be shifted
    runs = train_members(model, x, y, members=[decay], epochs=2, batch_size=BATCH, engine=engine, weights=True)
    steps = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
    rates = 0.05 * 0.5 ** (np.arange(steps + 10) / 3)
    onecycle.schedule_hyperparameters(model, learning_rate=_Listed(np.concatenate([rates[:steps], rates])))
    keras.utils.set_random_seed(0)
    history = model.fit(**read(engine, x, y, 0, 2), epochs=2, verbose=0).history
    np.testing.assert_allclose(runs.metrics["loss"][0], history["loss"], rtol=2e-5)


class _Listed(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule read from a list."""

    def __init__(self, values):
        self.values_ = np.asarray(values, "float32")

    def __call__(self, step):
        return keras.ops.take(keras.ops.convert_to_tensor(self.values_), step)


@each_engine
def test_a_model_that_was_evaluated_is_validated_whole(engine):
    """Its test function, compiled for one step a call, is not taken for one that makes several."""
    model = make()
    x, y = arrays(model)
    options = {"members": [0.01], "epochs": 1, "validation_data": (x, y), "engine": engine, "batch_size": BATCH}
    fresh = train_members(model, x, y, **options).validation["loss"]
    model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(train_members(model, x, y, **options).validation["loss"], fresh, rtol=1e-6)


@each_engine
def test_a_later_call_takes_its_own_hyperparameters(engine):
    """What an earlier call of the same shapes trained with is not found in the next one."""
    model = make()
    x, y = arrays(model)
    options = {"epochs": 1, "batch_size": BATCH, "engine": engine}
    found = [train_members(model, x, y, members=[own], **options).losses[0] for own in (0.01, (0.01, 0.2), (0.01, 0.9))]
    assert not np.allclose(found[0], found[1], rtol=1e-4)
    np.testing.assert_allclose(found[0], found[2], rtol=1e-5)  # 0.9 is the optimizer's own


@each_engine
def test_weights_of_samples_and_classes_count(engine):
    """They multiply the losses, of classes too."""
    model = make(loss="binary_crossentropy")
    x, _ = arrays(model)
    y = (x[:, :1] > 0).astype("float32")
    options = {"members": [0.0], "epochs": 1, "batch_size": ROWS, "engine": engine}
    plain = train_members(model, x, y, **options).losses[0, 0]
    by_class = train_members(model, x, y, class_weight={0: 3.0, 1: 3.0}, **options).losses[0, 0]
    by_sample = train_members(model, x, y, sample_weight=np.full(ROWS, 2.0), **options).losses[0, 0]
    assert by_class == pytest.approx(3 * plain, rel=1e-5)
    assert by_sample == pytest.approx(2 * plain, rel=1e-5)


@each_engine
def test_nested_data_without_shuffling(engine):
    """Dicts of inputs, two outputs, rows in their order."""
    one, two = keras.Input((2,), name="one"), keras.Input((3,), name="two")
    joined = layers.Concatenate()([one, two])
    model = keras.Model(
        {"one": one, "two": two}, [layers.Dense(1, name="a")(joined), layers.Dense(2, name="b")(joined)]
    )
    model.compile(sgd(), loss=["mse", "mae"], metrics=[["mae"], ["mse"]])
    rng = np.random.default_rng(0)
    x = {"one": rng.normal(size=(ROWS, 2)), "two": rng.normal(size=(ROWS, 3))}
    y = [rng.normal(size=(ROWS, 1)), rng.normal(size=(ROWS, 2))]
    runs = train_members(model, x, y, members=[0.01], epochs=2, batch_size=BATCH, shuffle=False, engine=engine)
    history = _after(model, 0.01).fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0).history
    assert sorted(runs.metrics) == sorted(history)
    for name, column in history.items():
        np.testing.assert_allclose(runs.metrics[name][0], column, rtol=2e-5)


def _after(model, rate):
    model.optimizer.learning_rate = rate
    return model


@jax_only
def test_trying_fit_out_leaves_the_programs_their_state(monkeypatch):
    """JAX donates what `fit` trains on; where steps are long, `fit` is tried before a program trains after all."""
    monkeypatch.setattr(choice, "SLOW", 0.0)
    monkeypatch.setattr(choice, "LONG", 0.0)
    monkeypatch.setattr(choice, "CLEARLY", 0.0)  # never faster by so much
    model = make(dense, adam, metrics=["mae"])
    x, y = arrays(model)
    asked = {"members": [0.01, 0.02], "epochs": EPOCHS, "batch_size": BATCH, "validation_data": (x, y)}
    expected = train_members(model, x, y, engine="scan", **asked)
    found = train_members(model, x, y, **asked)
    assert found.engine in COMPILED
    assert "through `fit`" in found.reason
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)
    np.testing.assert_allclose(found.validation["mae"], expected.validation["mae"], rtol=1e-5)


def test_data_that_are_no_arrays_go_through_fit():
    """A data set is read by `fit`, also one of unknown length, and the reason is told."""
    import tensorflow as tf

    model = make()
    x, y = arrays(model)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)
    for data in (dataset, dataset.filter(lambda *batch: True)):
        runs = train_members(model, data, members=[0.01, CYCLE], epochs=2)
        assert (runs.engine, runs.losses.shape) == ("fit", (2, 10))
        assert runs.reason.endswith(".")
    if COMPILED:
        with pytest.raises(ValueError, match="arrays"):
            train_members(model, dataset, members=[0.01], epochs=1, engine="scan")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"members": []}, "members"),
        ({"members": [-1.0]}, "learning_rate"),
        ({"members": [(0.1, 1.0)]}, "momentum"),
        ({"members": [(0.1, None, -1)]}, "seed"),
        ({"epochs": 0}, "epochs"),
        ({"engine": "fast"}, "engine"),
        ({"validate": "never"}, "validate"),
        ({"x": ((np.ones((1, 4)), np.ones((1, 1))) for _ in range(3)), "y": None}, "generator"),
    ],
)
def test_bad_arguments_are_refused(options, named):
    """The error names the argument, and nothing has been built."""
    model = make()
    x, y = arrays(model)
    with pytest.raises(ValueError, match=named):
        train_members(model, **{"x": x, "y": y, "members": [0.1], "epochs": 1, **options})
    assert not model.optimizer.built


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's programs")
def test_programs_of_tensorflow_train_one_after_the_other():
    """They change the model's variables, so none can be mapped over members, nor follow a strategy of replicas."""
    import tensorflow as tf

    model = make()
    x, y = arrays(model)
    assert train_members(model, x, y, members=[0.01, 0.02], epochs=1).engine == "scan"
    with pytest.raises(ValueError, match="mapped over members"):
        train_members(model, x, y, members=[0.01], epochs=1, engine="vmap")
    assert unsuited(model, tf.sparse.from_dense(x), y) == "the data are sparse or ragged"
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        assert "distributed" in unsuited(make(), x, y)


@each_engine
def test_optional_inputs_and_scores_by_class(engine):
    """An input may be left out, and a metric that is a vector is left out of the tables."""
    given, left_out = keras.Input((4,)), keras.Input((4,), optional=True)
    model = keras.Model([left_out, given], layers.Dense(3, "softmax")(given))
    model.compile(sgd(), "categorical_crossentropy", metrics=["accuracy", keras.metrics.F1Score()])
    x = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
    y = np.eye(3, dtype="float32")[np.argmax(x[:, :3], axis=1)]
    runs = train_members(
        model, [None, x], y, members=[0.1], epochs=2, batch_size=BATCH, validation_data=([None, x], y), engine=engine
    )
    assert sorted(runs.metrics) == sorted(runs.validation) == ["accuracy", "loss"]
    assert runs.losses[0, -1] < runs.losses[0, 0]


class Noise(layers.Layer):
    """Noise from the global random numbers, as many a person writes it."""

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's programs")
def test_global_random_numbers_are_those_of_the_seed():
    """A program would go on with those that it was traced with, so such a model goes through `fit`, and repeats."""
    model = make(lambda: [keras.Input((4,)), layers.Dense(4), Noise()])
    x, y = arrays(model)
    options = {"members": [0.01], "epochs": 1, "batch_size": BATCH}
    runs = [train_members(model, x, y, **options) for _ in range(2)]
    assert runs[0].engine == "fit"
    assert "global random numbers" in runs[0].reason
    np.testing.assert_array_equal(runs[0].losses, runs[1].losses)
    with pytest.raises(ValueError, match="global random numbers"):
        train_members(model, x, y, engine="scan", **options)
    tests = [onecycle.find_learning_rate(model, x, y, num_steps=20, seed=1, verbose=0) for _ in range(2)]
    np.testing.assert_array_equal(tests[0].losses, tests[1].losses)


@programs_only
def test_no_program_outlives_the_optimizers_variables():
    """Of an optimizer that was not built before, none is left in memory afterwards."""
    model = make(optimizer=adam)
    x, y = arrays(model)
    before = alive()
    onecycle.find_learning_rate(model, x, y, num_steps=20, verbose=0)
    train_members(model, x, y, members=[0.01], epochs=1)
    assert alive() <= before


def alive():
    """How many variables there are in this process."""
    gc.collect()
    return sum(issubclass(type(one), keras.Variable) for one in gc.get_objects())  # `isinstance` asks the object


@programs_only
def test_states_of_layers_are_given_back():
    """A layer with `stateful=True` goes on afterwards from where it was."""
    model = keras.Sequential([keras.Input((3, 2), batch_size=BATCH), layers.LSTM(4, stateful=True), layers.Dense(1)])
    model.compile(sgd(), "mse")
    x = np.random.default_rng(0).normal(size=(ROWS, 3, 2)).astype("float32")
    model.predict(x, batch_size=BATCH, verbose=0)
    before = [np.array(keras.ops.convert_to_numpy(state)) for state in model.layers[0].states]
    onecycle.find_learning_rate(model, x, x[:, 0, :1], num_steps=20, batch_size=BATCH, verbose=0)
    for state, own in zip(model.layers[0].states, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(state), own)


@programs_only
def test_programs_are_used_again():
    """A second call of the same shapes compiles nothing, whatever its epochs, rates and seeds; another model does."""
    model = make()
    model.optimizer.build(model.trainable_variables)  # TensorFlow's programs go with an optimizer that they had built
    x, y = arrays(model)
    first = train_members(model, x, y, members=[0.01, 0.02], epochs=2, batch_size=BATCH, engine="scan")
    second = train_members(model, x, y, members=[(CYCLE, None, 7)], epochs=5, batch_size=BATCH, engine="scan")
    assert first.compile_seconds > 0
    assert second.compile_seconds == 0
    model.compile(sgd(), "mae")
    assert train_members(model, x, y, members=[0.01], epochs=1, batch_size=BATCH).compile_seconds > 0


@each_engine
def test_what_is_left_out_of_weight_decay_is_seen(engine):
    """Told between two calls, it changes the second."""
    model = make(optimizer=lambda: keras.optimizers.AdamW(0.01, weight_decay=1.0))
    x, y = arrays(model)
    options = {"members": [0.1], "epochs": 2, "batch_size": BATCH, "engine": engine}
    decayed = train_members(model, x, y, **options).losses
    model.optimizer.exclude_from_weight_decay(var_names=["kernel"])
    assert not np.allclose(train_members(model, x, y, **options).losses, decayed, rtol=1e-4)


@programs_only
def test_programs_serve_other_betas_and_later_steps():
    """Adam's products of betas are longer or shorter then; the program, or another, takes them."""
    model = make(optimizer=adam)
    x, y = arrays(model)
    options = {"epochs": 1, "batch_size": BATCH, "engine": "scan"}
    cycles = [onecycle.OneCycle(0.01, steps) for steps in (5, 50)]
    members = [(cycle, cycle.momentum(high=high)) for cycle, high in zip(cycles, (0.95, 0.99), strict=True)]
    first, other = (train_members(model, x, y, members=[own], **options).losses for own in members)
    assert not np.array_equal(first, other)
    for _ in range(3):
        model.fit(x, y, epochs=8, verbose=0)
        assert np.isfinite(train_members(model, x, y, members=members, **options).losses).all()


@programs_only
def test_a_model_is_freed_with_its_programs():
    """What is kept for a model does not keep the model."""
    model = make()
    x, y = arrays(model)
    train_members(model, x, y, members=[0.01], epochs=1, validation_data=(x, y))
    seen = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert seen() is None


@programs_only
def test_what_cannot_be_one_program_says_why():
    """A training step of one's own, a loss scale: the reason names it, and asking for a program is an error."""

    class OwnStep(keras.Sequential):
        def train_step(self, *args):
            return super().train_step(*args)

    own = OwnStep([keras.Input((4,)), layers.Dense(1)])
    own.compile("sgd", "mse")
    scaled = make(optimizer=lambda: keras.optimizers.LossScaleOptimizer(sgd()))
    for model, told in ((own, "train_step"), (scaled, "oss scaling")):
        x, y = arrays(model)
        runs = train_members(model, x, y, members=[0.01, 0.02], epochs=1)
        assert runs.engine == "fit"
        assert told in runs.reason
        assert np.isfinite(runs.losses).all()
        with pytest.raises(ValueError, match=told):
            train_members(model, x, y, members=[0.01], epochs=1, engine="vmap")
