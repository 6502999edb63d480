"""Races whose candidates are trained by compiled programs on JAX, compared with those by `fit`, pause for pause."""

import keras
import numpy as np
import pytest
from oracles import states

import onecycle
from onecycle.engine.averaging import average_rates
from onecycle.engine.choice import EngineChoice
from onecycle.engine.member_programs import MemberPrograms
from onecycle.finding import race_trainers, race_training
from onecycle.finding.race_compiled import CompiledTrainer
from onecycle.keras_support.weight_average import WeightAverage

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="only JAX has such programs")

layers = keras.layers
ROWS, BATCH, EPOCHS = 90, 16, 4  # the last batch of an epoch is short
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS + 50, 8)).astype("float32")
Y = (X[:, :1] * X[:, 1:2] + np.sin(2 * X[:, 2:3])).astype("float32")
DATA, VALIDATION = (X[:ROWS], Y[:ROWS]), (X[ROWS:], Y[ROWS:])
PEAKS = (0.001, 0.004, 0.016)


def dense():
    """Return a model and its optimizer."""
    return [layers.Dense(4, "tanh"), layers.Dense(1)], keras.optimizers.SGD(0.01, momentum=0.9)


class Noise(layers.Layer):
    """Adds noise, in evaluation too, which therefore changes the state."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(4)

    def call(self, inputs):
        """Return inputs with noise."""
        return inputs + 0.1 * keras.random.normal(keras.ops.shape(inputs), seed=self.seeds)


def dropout():
    """Return a model with statistics and random numbers, and an optimizer with more variables."""
    body = [
        layers.Reshape((8, 1)),
        layers.Conv1D(4, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.Dropout(0.2),
        Noise(),
        layers.Flatten(),
        layers.Dense(1),
    ]
    return body, keras.optimizers.AdamW(0.01)


def race(parts, candidates=PEAKS, metrics=("mae",), **options):
    """Return a race and its model."""
    keras.utils.set_random_seed(1)
    body, optimizer = parts()
    model = keras.Sequential([keras.Input((8,)), *body])
    model.compile(optimizer, "mse", metrics=list(metrics))
    result = onecycle.race_learning_rates(
        model, *DATA, candidates=candidates, epochs=EPOCHS, batch_size=BATCH, validation_data=VALIDATION, verbose=0,
        **options,
    )  # fmt: skip
    return result, model


@pytest.fixture(autouse=True)
def few_rows_are_many(monkeypatch):
    """Let the 50 held-out rows pass for many, so that the trend decides at the first cut."""
    monkeypatch.setattr(race_training, "MANY_ROWS", 16)


@pytest.fixture(params=["scan", "vmap"])
def engine(request, monkeypatch):
    """Train by programs, one candidate after another or all at once, and count their calls."""
    calls = []
    monkeypatch.setattr(MemberPrograms, "choose", lambda self, *_: EngineChoice(request.param, ""))
    train = CompiledTrainer.train
    monkeypatch.setattr(CompiledTrainer, "train", lambda self, *args: calls.append(args) or train(self, *args))
    return calls


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        pytest.param(dense, {}, marks=pytest.mark.long),
        (dropout, {"seed": 5}),
        pytest.param(dense, {"shuffle": False, "averaged_weights": True, "metrics": ()}, marks=pytest.mark.long),
        pytest.param(dropout, {"candidates": (0.001, 0.004, 0.016, 1e9), "seed": 2}, marks=pytest.mark.long),
        pytest.param(dense, {"candidates": (1e-6, 1e-5, 1e-4), "budget": 2.3}, marks=pytest.mark.long),
    ],
    ids=["dense", "dropout", "averaged", "one diverges", "one is added"],
)
def test_programs_do_what_fit_does(engine, monkeypatch, parts, options):
    """Result, weights, optimizer, and random generators afterwards equal those of a race by `fit`."""
    result, model = race(parts, **options)
    assert engine
    after = np.random.random()  # noqa: NPY002 - that of Keras
    monkeypatch.setattr(race_trainers, "compiled_trainer", lambda *_: None)
    expected, by_fit = race(parts, **options)
    assert np.random.random() == after  # noqa: NPY002
    assert (result.winner, result.cost, result.note) == (expected.winner, expected.cost, expected.note)
    assert [reason.split(":")[0] for reason in result.reasons] == [one.split(":")[0] for one in expected.reasons]
    for name in ("learning_rates", "steps", "curve_steps", "cuts"):
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name), err_msg=name)
    np.testing.assert_allclose(result.scores, expected.scores, rtol=2e-4)
    # A short batch at the end of an epoch counts less in what `fit` reports.
    whole = result.curve_steps % -(-ROWS // BATCH) != 0
    np.testing.assert_allclose(result.curves[:, whole], expected.curves[:, whole], rtol=2e-4)
    assert np.isfinite(result.curves[result.winner]).all()
    assert list(result.history) == list(expected.history)
    for name, values in expected.history.items():
        np.testing.assert_allclose(result.history[name], values, rtol=2e-4, err_msg=name)
    assert model.history.history.keys() == by_fit.history.history.keys()
    for one, other in zip(_variables(model), _variables(by_fit), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-6, err_msg=one.path)
    model.fit(*DATA, verbose=0)


def _variables(model):
    return [*model.variables, *model.optimizer.variables]


def test_averages_move_as_beside_a_fit():
    """The table of updates is that of `WeightAverage`, whose first update takes the weights themselves."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    average, values = WeightAverage(model), np.zeros(3)
    for step, rate in enumerate(average_rates(100, first=21, every=3), start=1):
        assert (rate > 0) == (step >= 21 and step % 3 == 0)
        if rate:
            weights = np.full(3, float(step))
            model.set_weights([weights[:2, None], weights[2:]])
            average.update(step)
            values += (weights - values) * rate
            np.testing.assert_allclose(np.concatenate([v.ravel() for v in average.state()[1]]), values, rtol=1e-6)


@pytest.mark.parametrize("keep", ["restore", "best"])
def test_interrupt_between_two_calls(engine, monkeypatch, keep):
    """Ctrl-C after the first cut leaves the model as it was, or the candidate that leads there."""
    score, found = CompiledTrainer.train, []

    def train(self, members, cut, step):
        found.append(step)
        if len(found) == 2:
            raise KeyboardInterrupt
        return score(self, members, cut, step)

    monkeypatch.setattr(CompiledTrainer, "train", train)
    keras.utils.set_random_seed(1)
    body, optimizer = dense()
    model = keras.Sequential([keras.Input((8,)), *body])
    model.compile(optimizer, "mse")
    before = states.of_model(model)
    with pytest.raises(KeyboardInterrupt):
        onecycle.race_learning_rates(
            model, *DATA, candidates=PEAKS, epochs=EPOCHS, batch_size=BATCH, validation_data=VALIDATION, verbose=0,
            on_interrupt=keep,
        )  # fmt: skip
    assert (states.difference(before, states.of_model(model)) == []) == (keep == "restore")
    if keep == "best":
        assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == found[0]


@pytest.mark.parametrize(
    "case", ["callback", "metric of several values", "data set", "layer rates", "own step"], ids=str
)
@pytest.mark.long
def test_other_races_are_trained_by_fit(monkeypatch, case):
    """What programs cannot do is left to `fit`, which does it."""
    monkeypatch.setattr(CompiledTrainer, "train", lambda *_: pytest.fail("programs must not train this"))
    keras.utils.set_random_seed(1)

    class OwnStep(keras.Sequential):
        def train_step(self, *args, **kwargs):
            return super().train_step(*args, **kwargs)

    kind = OwnStep if case == "own step" else keras.Sequential
    model = kind([keras.Input((8,)), layers.Dense(2), layers.Dense(1 if case != "metric of several values" else 2)])
    metrics = [keras.metrics.F1Score(average=None)] if case == "metric of several values" else []
    model.compile("sgd", "mse", metrics=metrics)
    x, y, held_out = *DATA, VALIDATION
    if case == "metric of several values":
        y, held_out = (np.tile(part > 0, 2).astype("float32") for part in (y, VALIDATION[1]))
        held_out = VALIDATION[0], held_out
    options = {"batch_size": BATCH}
    if case == "callback":
        options["callbacks"] = [keras.callbacks.Callback()]
    if case == "layer rates":
        options["layer_rates"] = {model.layers[0].name: 0.5}
    if case == "data set":
        import tensorflow as tf

        x, y, options = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH), None, {}
    result = onecycle.race_learning_rates(
        model, x, y, candidates=PEAKS, epochs=EPOCHS, validation_data=held_out, verbose=0, **options
    )
    assert result.steps.max() == result.total_steps
