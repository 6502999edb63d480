"""`fine_tune`: what each phase trains, what is given back, and what is refused."""

import csv

import keras
import numpy as np
import pytest
from keras import layers
from oracles import states

import onecycle
from onecycle import DivergenceGuard, OneCycleScheduler, fine_tune
from onecycle.keras_support.graph import inputs_of_linear_head
from onecycle.training.heads import find_head

PEAKS = (0.05, 0.01)
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(48, 6)).astype("float32")
Y = (X @ RANDOM.normal(size=(6, 3))).argmax(axis=1)
LOSS = "sparse_categorical_crossentropy"


class Stop(Exception):
    """The error that ends a training."""


def compiled(model, optimizer=None):
    """Compile a classifier."""
    model.compile(optimizer or keras.optimizers.AdamW(0.001), LOSS, metrics=["accuracy"])
    return model


def with_backbone(optimizer=None):
    """A model with a nested backbone that has a batch normalization, and a new head."""
    keras.utils.set_random_seed(1)
    backbone = keras.Sequential(
        [keras.Input((6,)), layers.Dense(6, name="inner"), layers.BatchNormalization(), layers.Activation("relu")],
        name="backbone",
    )
    return compiled(keras.Sequential([backbone, layers.Dense(3, "softmax", name="top")]), optimizer)


def train(model, **arguments):
    """Fine-tune for three epochs of three steps, without random orders."""
    given = {"epochs": 2, "frozen_epochs": 1, "max_learning_rate": PEAKS, "batch_size": 16, "shuffle": False}
    return fine_tune(model, X, Y, verbose=0, **{**given, **arguments})


def values(layer):
    """The weights of a layer."""
    return [keras.ops.convert_to_numpy(variable) for variable in layer.weights]


def flags(model):
    """`trainable` of every layer and variable."""
    return [one.trainable for one in [*model._flatten_layers(), *model.variables]]


def same(first, second):
    """Whether two lists of arrays are equal to the bit."""
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


class Witness(keras.callbacks.Callback):
    """Records the hooks, and at each end of an epoch the weights and which layers are trained."""

    def __init__(self, watched):
        super().__init__()
        self.watched, self.hooks, self.epochs = watched, [], []

    def on_train_begin(self, logs=None):
        self.hooks.append("begin")

    def on_train_end(self, logs=None):
        self.hooks.append("end")

    def on_epoch_end(self, epoch, logs=None):
        now = [values(layer) for layer in self.watched]
        self.epochs.append((epoch, now, len(self.model.trainable_variables)))


class At(keras.callbacks.Callback):
    """Does something when an epoch begins."""

    def __init__(self, epoch, action):
        super().__init__()
        self.epoch, self.action = epoch, action

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.action(self)


def error(exception):
    """Return an action that raises an exception."""

    def act(callback):
        raise exception

    return act


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A fine-tuning with everything that watches it."""
    model = with_backbone()
    backbone, head = model.layers
    parts = [backbone.layers[0], backbone.layers[1], head]
    before, optimizer = [values(part) for part in parts], model.optimizer
    witness, log = Witness(parts), tmp_path_factory.mktemp("log") / "epochs.csv"
    history = train(model, validation_data=(X, Y), callbacks=[witness, keras.callbacks.CSVLogger(log)])
    return model, history, witness, before, optimizer, log


def test_each_phase_trains_its_layers(tuned):
    """First the head alone, then all but the batch normalization, whose every weight stays as it was."""
    _, _, witness, (inner, normal, head), _, _ = tuned
    first, second, third = (weights for _, weights, _ in witness.epochs)

    assert [count for _, _, count in witness.epochs] == [2, 4, 4]
    assert same(inner, first[0])
    assert not same(head, first[2])
    assert not same(first[0], second[0])
    assert not same(second[2], third[2])
    assert all(same(normal, weights[1]) for weights in (first, second, third))


def test_the_model_is_given_back(tuned):
    """Every layer is trainable again, and the optimizer is the model's own, which has made no step."""
    model, _, _, _, optimizer, _ = tuned

    assert all(flags(model)[: len(model._flatten_layers())])
    assert model.optimizer is optimizer
    assert int(optimizer.iterations) == 0
    assert len(optimizer.variables) > 2  # so that a saved model loads without a warning
    model.fit(X, Y, verbose=0)  # without Keras' warning that `trainable` has changed


def test_callbacks_see_one_training(tuned):
    """The epochs are counted on, training begins and ends once, and a log file holds both phases."""
    _, history, witness, _, _, log = tuned

    assert witness.hooks == ["begin", "end"]
    assert [epoch for epoch, _, _ in witness.epochs] == [0, 1, 2] == history.epoch
    with log.open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]


def test_the_history_describes_both_phases(tuned, tmp_path):
    """It has each metric for each epoch, and a report of both cycles that can be saved."""
    _, history, _, _, _, _ = tuned
    report = history.onecycle

    assert {name: len(numbers) for name, numbers in history.history.items()} == dict.fromkeys(history.history, 3)
    assert {"loss", "val_loss", "accuracy", "learning_rate", "momentum"} <= set(history.history)
    assert [(cycle.max_learning_rate, cycle.steps, cycle.total_steps) for cycle in report.phases] == [
        (0.05, 3, 3),
        (0.01, 6, 6),
    ]
    assert report.head == ("top",)
    assert "head (top) alone" in report.summary()
    assert "1 BatchNormalization layer before the head kept its statistics" in report.summary()
    report.save(tmp_path / "report.json")
    assert onecycle.load(tmp_path / "report.json") == report


def test_a_fine_tuning_is_two_fits_written_out(backend):
    """The weights are those of the same two cycles with Keras' own `trainable` and `compile`, and of layer rates."""
    model, other = with_backbone(), with_backbone()
    train(model)

    backbone, _ = other.layers
    backbone.trainable = False
    compiled(other).fit(X, Y, batch_size=16, shuffle=False, verbose=0, callbacks=[OneCycleScheduler(PEAKS[0])])
    backbone.trainable = True
    backbone.layers[1].trainable = False
    scheduler = OneCycleScheduler(PEAKS[1], layer_rates={backbone.layers[0]: 0.3})
    compiled(other).fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0, callbacks=[scheduler])
    for one, expected in zip(values(model), values(other), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("epoch", "exception"), [(0, KeyboardInterrupt), (1, Stop), (2, KeyboardInterrupt)])
def test_an_error_gives_the_model_back(epoch, exception):
    """Also in the middle of a phase: `trainable`, the optimizer, and a step that trains as before."""
    model = with_backbone()
    model.layers[0].layers[0].trainable = False
    model.layers[0].layers[1].gamma.trainable = False
    model.layers[0].layers[0].bias.trainable = True
    compiled(model)
    before, optimizer = flags(model), model.optimizer
    with pytest.raises(exception):
        train(model, head="top", callbacks=[At(epoch, error(exception))])

    assert flags(model) == before
    assert model.optimizer is optimizer
    assert not optimizer.built


@pytest.mark.one_backend
def test_layers_that_the_user_froze_stay_frozen():
    """In both phases, in a functional model without a backbone inside, with a head of two named layers."""
    keras.utils.set_random_seed(2)
    start = keras.Input((6,))
    first, second, third = (layers.Dense(6, "relu", name=name) for name in ("first", "second", "third"))
    last = layers.Dense(3, "softmax", name="last")
    model = keras.Model(start, last(third(second(first(start)))))
    first.trainable = False
    compiled(model, keras.optimizers.SGD(0.1, momentum=0.9))
    before, witness = [values(layer) for layer in (first, second)], Witness([first, second, third])
    history = train(model, head=["third", last], frozen_epochs=1, epochs=1, callbacks=[witness])

    (_, after_head, trained_alone), (_, after_all, trained) = witness.epochs
    assert (trained_alone, trained) == (4, 6)
    assert same(before[0], after_all[0])
    assert same(before[1], after_head[1])
    assert not same(before[1], after_all[1])
    assert not first.trainable
    assert second.trainable
    assert history.onecycle.head == ("third", "last")


@pytest.mark.one_backend
def test_without_the_first_phase():
    """`frozen_epochs=0` runs one cycle on all layers."""
    history = train(with_backbone(), frozen_epochs=0, max_learning_rate=0.01, epochs=1)

    assert history.epoch == [0]
    assert history.onecycle.head_cycle is None
    assert history.onecycle.cycle.steps == 3


@pytest.mark.one_backend
def test_a_callback_that_stops_the_first_phase_ends_all():
    """Training ends once for the callbacks."""
    model, witness = with_backbone(), Witness([])
    stop = At(1, lambda callback: setattr(callback.model, "stop_training", True))
    with pytest.warns(UserWarning, match="Training ended after"):
        history = train(model, frozen_epochs=3, callbacks=[witness, stop])

    assert history.epoch == [0, 1]
    assert history.onecycle.cycle is None
    assert "Phase 2 was not run" in history.onecycle.summary()
    assert witness.hooks == ["begin", "end"]
    assert all(flags(model)[: len(model._flatten_layers())])


@pytest.mark.one_backend
def test_a_phase_that_finishes_early_is_followed_by_the_next():
    """`OneCycleScheduler.finish_early` ends the first phase with its final drop, and the second one follows."""
    model, schedulers = with_backbone(), []

    def finish(callback):
        found = [one for one in callback_list(callback) if isinstance(one, OneCycleScheduler)]
        schedulers.extend(found)
        found[0].finish_early(1)

    from onecycle.keras_support.callback_list import fit_callbacks as callback_list

    history = train(model, frozen_epochs=3, epochs=1, callbacks=[At(1, finish)])

    assert [cycle.steps for cycle in history.onecycle.phases] == [4, 3]
    assert history.epoch == [0, 1, 2]


@pytest.mark.one_backend
def test_each_peak_may_be_found_in_another_way():
    """A range test finds the peak of the head, and a race that of all layers, with the rates of the layers."""
    model = with_backbone()
    peaks = {"max_learning_rate": ("range test", "race"), "epochs": 6}
    history = train(model, validation_data=(X, Y), seed=0, **peaks)
    first, second = history.onecycle.phases
    assert isinstance(first.evidence, onecycle.results.RangeTest)
    assert isinstance(second.evidence, onecycle.results.Race)
    assert second.max_learning_rate == second.evidence.learning_rate
    assert second.layer_rates
    assert all(layer.trainable for layer in model.layers)


@pytest.mark.one_backend
def test_the_peak_of_a_head_alone_is_limited():
    """The loss of a linear head never shoots up with Adam, so its peak is at most 6 divided by its inputs."""
    guard = DivergenceGuard()
    peaks = ("auto", 0.01)
    history = train(with_backbone(), max_learning_rate=peaks, epochs=1, seed=0, callbacks=[guard])
    first, second = history.onecycle.phases

    assert first.max_learning_rate <= 6 / 6
    assert first.range_test is not None
    assert second.max_learning_rate == 0.01
    assert second.range_test is None
    assert history.onecycle.rescues == ()


@pytest.mark.one_backend
@pytest.mark.parametrize("crash_at", [0, 2])
def test_an_interrupted_run_continues_in_its_phase(tmp_path, crash_at):
    """The same call ends with the same weights and history as without the interruption."""
    arguments = {"shuffle": True, "validation_data": (X, Y)}
    expected = with_backbone()
    states.seed(3)
    whole = train(expected, **arguments)
    model = with_backbone()
    states.seed(3)
    with pytest.raises(Stop):
        train(model, **arguments, backup_dir=tmp_path, callbacks=[At(crash_at, error(Stop))])
    model = with_backbone()
    states.seed(4)
    resumed = train(model, **arguments, backup_dir=tmp_path)

    assert resumed.epoch == whole.epoch
    for name, numbers in whole.history.items():
        np.testing.assert_allclose(resumed.history[name], numbers, rtol=1e-5)
    for one, other in zip(values(model), values(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    with pytest.warns(UserWarning, match="is finished"):
        again = train(with_backbone(), **arguments, backup_dir=tmp_path)
    assert again.epoch == whole.epoch


@pytest.mark.one_backend
def test_callbacks_of_a_run_that_goes_on_in_its_second_phase(tmp_path):
    """The first phase comes from its backup, so the second one begins the training for the callbacks."""
    logs = []

    def run(crash_at=None):
        model = with_backbone()
        log = keras.callbacks.CSVLogger(tmp_path / "log.csv", append=True)
        logs.append(log)
        best = keras.callbacks.ModelCheckpoint(tmp_path / "best.weights.h5", monitor="loss", save_weights_only=True)
        crash = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: _crash(epoch == crash_at))
        return train(model, callbacks=[log, best, crash], backup_dir=tmp_path / "backup")

    with pytest.raises(Stop):
        run(crash_at=2)
    logs[0].csv_file.close()  # which Keras leaves open after an error
    history = run()
    assert len(history.epoch) == 3
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]


def _crash(now):
    if now:
        raise Stop


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_learning_rate": (0.01, "race"), "callbacks": [DivergenceGuard()]}, "no part in it"),
        ({"max_learning_rate": (0.01, "race")}, "at least 10 steps"),
        ({"max_learning_rate": (0.01, "auto"), "steps_per_epoch": 3}, "first batches of this generator"),
    ],
)
def test_a_search_of_the_second_phase_that_cannot_be_made(options, message):
    """It is refused before the first phase changes the weights."""
    model = with_backbone()
    before = model.get_weights()
    data = ((X[:16], Y[:16]) for _ in range(100)) if "steps_per_epoch" in options else X
    with pytest.raises(ValueError, match=message):
        fine_tune(model, data, Y if data is X else None, epochs=2, batch_size=None if data is not X else 16,
                  verbose=0, **options)  # fmt: skip
    assert same(before, model.get_weights())


def test_two_heads_of_one_shape_one_after_the_other():
    """What was compiled for one head is not used for another."""
    keras.utils.set_random_seed(5)
    first, second = (layers.Dense(3, name=name) for name in ("first", "second"))
    start = keras.Input((6,))
    model = keras.Model(start, layers.Softmax()(second(first(layers.Dense(3, "relu")(start)))))
    compiled(model)
    for head in (first, second):
        history = train(model, head=head, epochs=1, validation_data=(X, Y))
        expected = -np.log(model.predict(X, verbose=0)[np.arange(len(X)), Y]).mean()
        assert history.history["val_loss"][-1] == pytest.approx(expected, rel=1e-4)


@pytest.mark.one_backend
def test_the_inputs_of_a_linear_head():
    """They are those of the last layer where it is trained alone on frozen layers; else 0."""
    model = with_backbone()
    assert inputs_of_linear_head(model) == 0
    model.layers[0].trainable = False
    assert inputs_of_linear_head(model) == 6
    assert inputs_of_linear_head(all_head()) == 0
    deeper = nested(layers.Dense(5, "relu"), layers.Dense(3))
    deeper.layers[0].trainable = False
    assert inputs_of_linear_head(deeper) == 0


class Subclassed(keras.Model):
    """A model whose head is created before its backbone."""

    def __init__(self):
        super().__init__()
        self.top = layers.Dense(3, "softmax", name="top")
        self.backbone = keras.Sequential([keras.Input((6,)), layers.Dense(4, "relu", name="inner")])

    def call(self, inputs):
        return self.top(self.backbone(inputs))


def two_outputs():
    """A functional model with two heads, an activation after one of them."""
    start = keras.Input((6,))
    x = layers.Dense(4, name="body")(start)
    one = layers.Activation("softmax")(layers.Dense(3, name="one")(x))
    return keras.Model(start, [one, layers.Dense(1, name="two")(layers.Dropout(0.1)(x))])


def nested(*after):
    """A backbone and what comes after it."""
    backbone = keras.Sequential([keras.Input((6,)), layers.Dense(4, name="inner"), layers.Dense(4, name="outer")])
    return keras.Sequential([backbone, *after])


def plain():
    """Two layers with weights and an activation."""
    return keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.Dense(3, name="b"), layers.ReLU()])


def around_the_whole():
    """A model that holds another one and nothing else with weights."""
    return keras.Sequential([keras.Input((6,)), layers.Dropout(0.1), nested(layers.Dense(3, name="b"))])


ARCHITECTURES = {
    "sequential": (plain, ["b"]),
    "two outputs": (two_outputs, ["one", "two"]),
    "nested": (lambda: nested(layers.Dropout(0.1), layers.Dense(5, name="a"), layers.Dense(3, name="b")), ["a", "b"]),
    "around the whole": (around_the_whole, ["b"]),
    "only a backbone": (lambda: nested(layers.ReLU()), ["outer"]),
    "a model as head": (lambda: nested(keras.Sequential([keras.Input((4,)), layers.Dense(3)], name="head")), ["head"]),
    "subclassed": (Subclassed, ["top"]),
}  # fmt: skip


@pytest.mark.one_backend
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_head_of_a_model(name):
    """The layers with weights after the last model inside, or the last ones before the outputs."""
    make, expected = ARCHITECTURES[name]
    model = make()
    model(X[:2])

    assert sorted(layer.name for layer in find_head(model, None).layers) == expected


def frozen_backbone():
    """A model whose user has frozen all before the head."""
    model = with_backbone()
    model.layers[0].trainable = False
    return compiled(model)


def all_head():
    """A model of one layer."""
    return compiled(keras.Sequential([keras.Input((6,)), layers.Dense(3, "softmax")]))


REFUSALS = {
    "all head": (all_head, {}, "is all head"),
    "frozen backbone": (frozen_backbone, {}, "All weights before the head .* are frozen"),
    "unknown layer": (with_backbone, {"head": "tpo"}, "must name a layer .* backbone, batch_norm.*'tpo'"),
    "another's layer": (with_backbone, {"head": layers.Dense(3)}, "a layer .* that is not in it"),
    "no layer": (with_backbone, {"head": 3}, "must be a layer of the model.*head=3"),
    "layer without weights": (with_backbone, {"head": "activation"}, "head"),
    "empty": (with_backbone, {"head": []}, "head=\\[\\]"),
    "three peaks": (with_backbone, {"max_learning_rate": (0.1, 0.1, 0.1)}, "one peak, or a pair"),
    "bad second peak": (with_backbone, {"max_learning_rate": (0.1, -1)}, "max_learning_rate"),
    "frozen epochs": (with_backbone, {"frozen_epochs": -1}, "frozen_epochs"),
    "initial epoch": (with_backbone, {"initial_epoch": 1}, "initial_epoch"),
    "ready schedule": (with_backbone, {"schedule": onecycle.OneCycle(0.1, 9)}, "callable"),
    "scheduler": (with_backbone, {"callbacks": [OneCycleScheduler(0.1)]}, "OneCycleScheduler"),
    "misspelled": (with_backbone, {"freeze_epochs": 1}, "frozen_epochs"),
}  # fmt: skip


@pytest.mark.one_backend
@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_fine_tuned_is_refused_before_training(name):
    """The error names the argument, and the model is as it was."""
    make, arguments, message = REFUSALS[name]
    model = make()
    before, weights = flags(model), values(model)
    with pytest.raises((TypeError, ValueError), match=message):
        train(model, **arguments)

    assert flags(model) == before
    assert same(weights, values(model))


@pytest.mark.one_backend
def test_a_backup_of_keras_is_refused(tmp_path):
    """It would restore the first phase into the second one."""
    with pytest.raises(ValueError, match="backup_dir"):
        train(with_backbone(), callbacks=[keras.callbacks.BackupAndRestore(tmp_path)])
