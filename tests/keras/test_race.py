"""Tests of `race_learning_rates`, which trains whole cycles with several peaks and drops the worse ones on the way."""

import dataclasses

import keras
import numpy as np
import pytest
from oracles import states
from render.sample_range_tests import RANGE_TESTS

import onecycle
from onecycle.finding import race_training
from onecycle.finding.race_candidates import candidates_around
from onecycle.finding.race_data import Judge
from onecycle.keras_support.held_out_batches import hold_out_batches
from onecycle.results import Race

layers = keras.layers
TENSORFLOW = keras.backend.backend() == "tensorflow"
ROWS, BATCH, EPOCHS = 96, 16, 3
STEPS = EPOCHS * ROWS // BATCH  # with cuts at 4 and 13, both in the middle of an epoch
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS + 64, 8)).astype("float32")
Y = (X[:, :1] * X[:, 1:2] + np.sin(2 * X[:, 2:3])).astype("float32")
X, Y, VALIDATION = X[:ROWS], Y[:ROWS], (X[ROWS:], Y[ROWS:])
OPTIONS = {"epochs": EPOCHS, "batch_size": BATCH, "validation_data": VALIDATION, "verbose": 0}
PEAKS = (0.001, 0.004, 0.016)


def compiled_model(optimizer=None, body=lambda: (), metrics=None):
    """Return a small compiled model, always with the same weights."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((8,)), *body(), layers.Dense(4, "tanh"), layers.Dense(1)])
    optimizer = optimizer or keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, "mse", metrics=metrics, jit_compile=False if TENSORFLOW else "auto")
    return model


def convolutional():
    """Return layers with everything whose state a pause has to keep."""
    return [
        layers.Reshape((8, 1)),
        # Without a bias, whose gradient before a normalization is rounding errors, which AdamW would magnify.
        layers.Conv1D(4, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.Dropout(0.2),
        layers.Flatten(),
    ]


def race(model, x=X, y=Y, **options):
    """Return the race of three given peaks, unless the options say otherwise."""
    return onecycle.race_learning_rates(model, x, y, **{**OPTIONS, "candidates": PEAKS, **options})


@pytest.fixture(autouse=True)
def few_rows_are_many(monkeypatch):
    """Let the 64 held-out rows pass for many, so that the trend decides at the first cut."""
    monkeypatch.setattr(race_training, "MANY_ROWS", 16)


class Recorder(keras.callbacks.Callback):
    """Records the weights after every batch, and the hooks of its life."""

    def __init__(self):
        super().__init__()
        self.weights, self.hooks = [], []

    def on_train_begin(self, logs=None):
        self.hooks.append("begin")

    def on_train_end(self, logs=None):
        self.hooks.append("end")

    def on_epoch_begin(self, epoch, logs=None):
        self.hooks.append(epoch)

    def on_train_batch_end(self, batch, logs=None):
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        self.weights.append([np.array(value) for value in self.model.get_weights()])


@pytest.mark.parametrize(
    ("body", "adamw", "rates"),
    [
        (lambda: (), False, None),
        (convolutional, True, None),
        (lambda: (), True, {"layer_rates": "decay", "decay": 0.5}),
    ],
    ids=["dense, SGD", "conv, AdamW", "layer rates"],
)
def test_winner_is_what_fit_one_cycle_trains(body, adamw, rates):
    """Weights, optimizer and history equal those of `fit_one_cycle` at the winner's peak, despite two pauses."""

    def model():
        optimizer = keras.optimizers.AdamW(0.01) if adamw else keras.optimizers.SGD(0.01, momentum=0.9)
        return compiled_model(optimizer, body, metrics=["mae"])

    raced, plain = model(), model()
    options = {**OPTIONS, **(rates or {})}
    result = race(raced, seed=5, **(rates or {}))
    keras.utils.set_random_seed(5)
    history = onecycle.fit_one_cycle(plain, X, Y, max_learning_rate=result.learning_rate, **options)
    assert result.steps.tolist().count(STEPS) == 1
    for name in ("trainable_variables", "non_trainable_variables"):
        for one, other in zip(getattr(raced, name), getattr(plain, name), strict=True):
            np.testing.assert_allclose(_numpy(one), _numpy(other), rtol=1e-5, atol=1e-6)
    for one, other in zip(raced.optimizer.variables, plain.optimizer.variables, strict=True):
        np.testing.assert_allclose(_numpy(one), _numpy(other), rtol=1e-4, atol=1e-6)
    assert result.history.keys() == history.history.keys()
    for name, values in history.history.items():
        np.testing.assert_allclose(result.history[name], values, rtol=1e-5, atol=1e-6)
    assert raced.history.history.keys() == history.history.keys()
    assert raced.history.epoch == history.epoch


def _numpy(variable):
    return keras.ops.convert_to_numpy(variable)


@pytest.mark.one_backend
def test_candidates_are_judged_by_their_averaged_weights():
    """The scores are those of the moving average with decay 1 - 1 / (0.1 t), BatchNormalization included."""
    recorder = Recorder()
    # With equal peaks but for the last bits, one recorder stands for all candidates.
    model = compiled_model(body=lambda: [layers.BatchNormalization()])
    result = race(model, candidates=(0.01, 0.01 * (1 + 1e-7)), callbacks=[recorder], seed=5)
    first, last = np.round(result.cuts * STEPS).astype(int)
    average = None
    for step in range(1, last + 1):
        weights = recorder.weights[step - 1]
        rate = 1.0 if average is None else min(1.0, 1 / (0.1 * step))
        average = weights if average is None else [a + (w - a) * rate for a, w in zip(average, weights, strict=True)]
        if step in (first, last):
            model.set_weights(average)
            expected = model.evaluate(*VALIDATION, verbose=0)
            np.testing.assert_allclose(result.scores[:, int(step == last)], expected, rtol=1e-4)


@pytest.mark.one_backend
def test_callbacks_see_one_training():
    """A callback of the user's ends with the state of the winner's copy, which saw every hook of one `fit` once."""
    recorder = Recorder()
    race(compiled_model(), callbacks=[recorder])
    assert recorder.hooks == ["begin", *range(EPOCHS), "end"]
    assert len(recorder.weights) == STEPS


@pytest.mark.one_backend
def test_losers_are_dropped_at_the_cuts():
    """Three candidates become two at 0.24 and one at 0.7, at 1.9 runs, and the best score at the last cut survives."""
    result = race(compiled_model())
    first, second = np.round(result.cuts * STEPS).astype(int)
    assert sorted(result.steps) == [first, second, STEPS]
    assert result.winner == np.nanargmin(result.scores[:, 1])
    assert result.cost == result.steps.sum() / STEPS
    dropped = [reason for k, reason in enumerate(result.reasons) if k != result.winner]
    assert all(reason.startswith("Dropped at") for reason in dropped)
    assert result.reasons[result.winner].startswith("Won: val_loss")


def test_diverged_candidate_stops_at_once():
    """A candidate whose loss is not finite stops within an epoch, and the budget it leaves may go to another one."""
    result = race(compiled_model(), candidates=(0.001, 0.004, 1e9))
    assert result.steps[-1] <= ROWS // BATCH
    assert result.reasons[-1].startswith("Diverged")
    assert np.isnan(result.scores[-1]).all()


@pytest.mark.one_backend
def test_race_in_which_all_diverge_leaves_the_model():
    """If all candidates diverge, and the lower ones too, an error says so, and the model is as it was."""
    model = compiled_model()
    before = states.of_model(model)
    with pytest.raises(ValueError, match="All candidates of the race diverged, down to a peak of"):
        race(model, candidates=(1e29, 1e30))
    assert states.difference(before, states.of_model(model)) == []
    assert not model.optimizer.built or len(before["optimizer"]) == len(model.optimizer.variables)


@pytest.mark.one_backend
def test_few_held_out_rows(monkeypatch):
    """Then candidates are near the suggestion, none is added, and the scores themselves decide, without a trend."""
    monkeypatch.setattr(race_training, "MANY_ROWS", 1000)
    test = RANGE_TESTS["pretty"]
    near = candidates_around(test, 3, wide=False)
    np.testing.assert_allclose(np.array(near.learning_rates) / test.learning_rate, [0.4, 1, 2.5])
    result = race(compiled_model(), seed=5)
    assert not any("trend" in reason for reason in result.reasons)
    assert sorted(np.argsort(result.scores[:, 0])[:2]) == np.flatnonzero(np.isfinite(result.scores[:, 1])).tolist()


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("count", "expected"),
    [(2, [0.4, 2.5]), (3, [0.16, 1, 6.25]), (4, [2.5**-3, 0.4, 2.5, 2.5**3]), (5, [0.16, 0.4, 1, 2.5, 6.25])],
)
def test_candidates_surround_what_a_range_test_suggests(count, expected):
    """They are symmetric around it, in steps of 6.25; more than four in steps of 2.5."""
    test = RANGE_TESTS["pretty"]
    start = candidates_around(test, count)
    np.testing.assert_allclose(np.array(start.learning_rates) / test.learning_rate, expected)
    assert start.note == ""


@pytest.mark.one_backend
def test_without_a_suggestion_candidates_go_down():
    """If the range test suggests nothing, they go down from the blow-up, or from the highest rate, as a note says."""
    test = RANGE_TESTS["constant"]
    start = candidates_around(test, 3)
    assert test.suggestion.learning_rate is None
    assert max(start.learning_rates) in (test.suggestions["one_cycle"].seen_at, test.learning_rates[-1])
    assert "go down from" in start.note


@pytest.mark.one_backend
@pytest.mark.long
def test_race_begins_with_a_range_test():
    """Without given peaks, the range test is in the result, and its steps are part of the cost."""
    result = race(compiled_model(), candidates=2, seed=5)
    assert result.cost == (result.steps.sum() + result.range_test.training_steps) / STEPS
    assert len(result.cuts) == 2


@pytest.mark.one_backend
@pytest.mark.long
def test_extension_beyond_the_end():
    """If the highest candidate leads at the first cut and the budget allows it, one 2.5 times as high is added."""
    result = race(compiled_model(), candidates=(1e-6, 1e-5, 1e-4), budget=2.3)
    assert len(result.learning_rates) == 4
    assert result.learning_rates[-1] == pytest.approx(2.5e-4)
    assert result.note.startswith("0.00025 was added next to the candidate that led at the first cut.")


@pytest.mark.one_backend
def test_monitor_may_be_higher_for_better():
    """With an accuracy as the monitor, the highest score wins."""
    model = compiled_model()
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    labels, held_out = (Y > 0).astype("float32"), (VALIDATION[0], (VALIDATION[1] > 0).astype("float32"))
    result = race(model, y=labels, validation_data=held_out, monitor="val_accuracy", candidates=(1e-7, 0.5))
    assert result.mode == "max"
    assert result.scores[result.winner, 0] == np.nanmax(result.scores[:, 0])


@pytest.mark.one_backend
def test_rows_are_held_out_and_it_is_said():
    """Without validation data a fifth of the rows is held out, in which `val_loss` is measured after each epoch."""
    result = race(compiled_model(), validation_data=None)
    assert result.held_out == ("Judged on 19 of 96 training rows, drawn at random; no candidate was trained on them.")
    assert result.total_steps == EPOCHS * -(-77 // BATCH)
    assert len(result.history["val_loss"]) == EPOCHS


@pytest.mark.one_backend
def test_fit_one_cycle_races():
    """`fit_one_cycle("race")` returns the winner's history, with the race as the evidence for its peak."""
    model = compiled_model()
    history = onecycle.fit_one_cycle(model, X, Y, max_learning_rate="race", seed=5, **OPTIONS)
    report = history.onecycle
    assert isinstance(report.evidence, Race)
    assert report.race is report.evidence
    assert report.rule == "race"
    assert report.max_learning_rate == report.race.learning_rate
    assert report.steps == report.total_steps == STEPS
    assert report.reason.startswith("Picked by a race that cost")
    assert dict(report.history) == {name: tuple(values) for name, values in history.history.items()}


@pytest.mark.one_backend
@pytest.mark.parametrize("keep", ["restore", "best"])
def test_interrupt_leaves_what_was_asked(keep):
    """Ctrl-C leaves the model as it was, or the candidate that leads, and is raised."""
    model = compiled_model()
    before = states.of_model(model)

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == EPOCHS - 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        race(model, callbacks=[Interrupt()], on_interrupt=keep)
    unchanged = states.difference(before, states.of_model(model)) == []
    assert unchanged == (keep == "restore")
    if keep == "best":
        # The interrupt came in the second round, so it waits at the first cut.
        assert int(_numpy(model.optimizer.iterations)) == 4
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("stops_after", [1, 7])
def test_race_on_disk_goes_on(tmp_path, monkeypatch, stops_after):
    """An interrupted race with a `directory` goes on in a new model of other weights, to the same end."""
    whole = compiled_model(body=convolutional)
    expected = race(whole, seed=5, directory=tmp_path / "whole")
    with monkeypatch.context() as patched:
        scores = iter(range(stops_after))
        score = Judge.score
        patched.setattr(Judge, "score", lambda self: score(self) if next(scores, None) is not None else _interrupt())
        with pytest.raises(KeyboardInterrupt):
            race(compiled_model(body=convolutional), seed=5, directory=tmp_path / "race")
    again = compiled_model(body=convolutional)
    again.set_weights([weight + 1 for weight in again.get_weights()])
    result = race(again, seed=5, directory=tmp_path / "race")
    assert dataclasses.replace(result, cost=expected.cost) == expected
    for one, other in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="has another race: `epochs` is 3 there and 4 here"):
        race(again, seed=5, directory=tmp_path / "race", epochs=4)


def _interrupt():
    raise KeyboardInterrupt


@pytest.mark.one_backend
@pytest.mark.long
def test_averaged_weights_on_request():
    """With `averaged_weights`, the model ends with other weights than the winner's last ones, and near them."""
    one, other = compiled_model(), compiled_model()
    race(one, seed=5)
    race(other, seed=5, averaged_weights=True)
    pairs = list(zip(one.get_weights(), other.get_weights(), strict=True))
    assert any((a != b).any() for a, b in pairs)
    assert max(np.abs(a - b).max() for a, b in pairs) < 0.1


class Batches(keras.utils.PyDataset):
    """A data set that shuffles its rows itself."""

    def __init__(self):
        super().__init__()
        self.order = np.arange(ROWS)
        self.generator = np.random.default_rng(3)

    def __len__(self):
        return ROWS // BATCH

    def __getitem__(self, index):
        rows = self.order[index * BATCH : (index + 1) * BATCH]
        return X[rows], Y[rows]

    def on_epoch_end(self):
        self.generator.shuffle(self.order)


def tf_batches():
    """Return a data set of `tf.data` in a fixed order."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)


def loader():
    """Return a loader that shuffles by a generator of its own."""
    import torch

    rows = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(rows, BATCH, shuffle=True, generator=torch.Generator().manual_seed(2))


@pytest.mark.one_backend
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize(
    "make",
    [Batches, pytest.param(tf_batches, marks=pytest.mark.long), pytest.param(loader, marks=pytest.mark.long)],
    ids=["PyDataset", "tf.data", "DataLoader"],
)
def test_data_sets_go_on_where_they_were(make):
    """A race on a data set trains its winner on the batches, in the order, of a `fit_one_cycle` on it."""
    raced, plain = compiled_model(), compiled_model()
    options = {**OPTIONS, "batch_size": None}
    result = race(raced, make(), None, seed=5, **options)
    keras.utils.set_random_seed(5)
    onecycle.fit_one_cycle(plain, make(), max_learning_rate=result.learning_rate, **options)
    for one, other in zip(raced.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.one_backend
def test_cuts_differ_in_a_short_run():
    """Cuts are at the ends of epochs, but not at the end of the run: the last one is made in the middle of an epoch."""
    result = race(compiled_model(), tf_batches(), None, batch_size=None, epochs=2)
    np.testing.assert_allclose(result.cuts * 12, [6, 8])
    assert sorted(result.steps) == [6, 8, 12]


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": 1}, "Argument `candidates` must be >= 2"),
        ({"candidates": (0.1,)}, "at least two different learning rates"),
        ({"monitor": "val_accuracy"}, 'Argument `monitor` must be one of "val_loss"'),
        ({"monitor": "val_score"}, "Whether a higher `monitor` is better"),
        ({"budget": 0.5}, "Argument `budget` must be >= 1"),
        ({"initial_epoch": 1}, "Leave out `initial_epoch`"),
        ({"epochs": 1, "batch_size": 96}, "at least 10 steps"),
        ({"on_interrupt": "best so far"}, "Argument `on_interrupt` must be"),
        ({"schedule": onecycle.OneCycle(0.1, 10)}, "Argument `schedule` must be a callable"),
        ({"callbacks": [keras.callbacks.ReduceLROnPlateau()]}, "ReduceLROnPlateau"),
        ({"directory": "race", "callbacks": [keras.callbacks.TerminateOnNaN()]}, "Leave out `callbacks`"),
        ({"callbacks": [onecycle.DivergenceGuard()]}, "DivergenceGuard has no part"),
        ({"directory": "race", "validation_data": None}, "Pass `seed` or `validation_data`"),
        ({"callbacks": [keras.callbacks.BackupAndRestore("backup")]}, "BackupAndRestore"),
    ],
)
def test_bad_arguments_are_refused_before_training(options, message):
    """What a race cannot do is an error before any training, and the model stays as it was."""
    model = compiled_model()
    before = states.of_model(model)
    with pytest.raises((TypeError, ValueError), match=message):
        race(model, **options)
    assert states.difference(before, states.of_model(model)) == []


class FixedBatches(Batches):
    """A data set in a fixed order."""

    on_epoch_end = keras.utils.PyDataset.on_epoch_end


@pytest.mark.one_backend
@pytest.mark.parametrize("make", [FixedBatches, tf_batches, loader], ids=["PyDataset", "tf.data", "DataLoader"])
def test_batches_are_held_out_of_data_sets(make):
    """The training part and the held-out part together are all rows, and no row is in both, epoch after epoch."""
    train, held_out, sentence = hold_out_batches(make(), 0.2, np.random.RandomState(0))
    for _ in range(2):
        kept, out = (_first_column(part) for part in (train, held_out))
        assert not set(kept) & set(out)
        assert sorted([*kept, *out]) == sorted(X[:, 0].tolist())
        assert 16 <= len(out) <= 20
    assert "no candidate was trained on them" in sentence


def _first_column(batches):
    if isinstance(batches, keras.utils.PyDataset):
        batches = [batches[k] for k in range(len(batches))]
    return [float(value) for x, _ in batches for value in np.asarray(x)[:, 0]]


@pytest.mark.one_backend
def test_data_sets_that_shuffle_cannot_be_split():
    """Data that puts its rows into other batches in each epoch is left to the user's `validation_data`."""
    assert hold_out_batches(tf_batches().unbatch().shuffle(ROWS).batch(BATCH), 0.2, np.random.RandomState(0)) is None
    assert hold_out_batches(Batches(), 0.2, np.random.RandomState(0)) is None


@pytest.mark.one_backend
def test_data_without_validation_data_is_refused():
    """Of a data set that shuffles its rows nothing can be held out, and a generator cannot be read again."""
    with pytest.raises(ValueError, match="none can be held out of this data set"):
        race(compiled_model(), Batches(), None, batch_size=None, validation_data=None)
    with pytest.raises(ValueError, match="Argument `x` must be data that can be read again"):
        race(compiled_model(), iter([(X, Y)]), None, batch_size=None)
    with pytest.raises(ValueError, match="Argument `total_steps` is not for a race"):
        onecycle.fit_one_cycle(compiled_model(), X, Y, max_learning_rate="race", total_steps=9, **OPTIONS)
