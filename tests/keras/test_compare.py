"""What one comparison does with a person's model and data, on every backend."""

import keras
import numpy as np
import pytest

from onecycle import results
from onecycle.schedules import OneCycle, WarmupLinearDecay
from onecycle.studies import arms, compare
from onecycle.studies.arms import Arm
from onecycle.studies.comparing import _seeds
from onecycle.studies.example import Expected
from onecycle.studies.runs import finder_facts

ROWS, HELD_OUT = 96, 32


def data_of(seed=0):
    """Two classes that a small net learns in a few epochs."""
    draws = np.random.default_rng(seed)
    x = draws.normal(size=(ROWS + HELD_OUT, 4)).astype("float32")
    y = (x[:, 0] + x[:, 1] > 0).astype("int32")
    return (x[:ROWS], y[:ROWS]), (x[ROWS:], y[ROWS:])


def build():
    """A net with one hidden layer and plain SGD."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.5), loss, metrics=["accuracy"])
    return model


def compared(arms, *, seeds=1, epochs=2, **options):
    """A comparison in silence."""
    return compare(build, data_of(), arms, seeds=seeds, epochs=epochs, **{"verbose": 0, **options})


def alike(history, other):
    """Whether two histories have the same names and, to float32, the same numbers."""
    assert list(history) == list(other)
    for name, values in history.items():
        np.testing.assert_allclose(values, other[name], rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def several():
    """Arms of every kind, two seeds."""
    arms = {
        "plain": {},
        "again": {},
        "cycle": {"max_learning_rate": 0.5},
        "adam": {"optimizer": keras.optimizers.Adam(0.01), "batch_size": 16, "epochs": 1},
    }
    return compared(arms, seeds=[3, 5], target=0.0)


def test_an_arm_against_itself_differs_in_nothing(several):
    """Same weights, same batches, same split: two plain arms have the same history to the last bit."""
    for one, other in zip(several.of("plain"), several.of("again"), strict=True):
        assert one["history"] == other["history"]
    assert several.verdicts["again"]["final"].differences == (0.0, 0.0)


def test_every_arm_of_a_seed_starts_alike(several):
    """Initial weights and data are the same in every arm of a seed, and the weights others with another seed."""
    assert several.problems == ()
    assert len({run["config"]["initial_weights"] for run in several.runs}) == 2
    assert len({(run["seed"], run["config"]["initial_weights"]) for run in several.runs}) == 2


def test_an_empty_arm_is_a_plain_fit(several):
    """What it gives is what seeding, building, seeding and `fit` give by hand."""
    (x, y), validation = data_of()
    keras.utils.set_random_seed(3)
    model = build()
    keras.utils.set_random_seed(3)
    history = model.fit(x, y, epochs=2, batch_size=32, validation_data=validation, verbose=0).history
    alike(several.of("plain")[0]["history"], history)


def test_steps_samples_and_seconds_are_counted(several):
    """Cumulative at each epoch's end, for the arm's own batch size and epochs."""
    plain, adam = several.of("plain")[0], several.of("adam")[0]
    assert (plain["steps"], plain["samples"]) == ([3, 6], [96, 192])
    assert (adam["steps"], adam["samples"]) == ([6], [96])
    assert 0 < plain["seconds"][0] < plain["seconds"][1]
    assert (plain["steps_to_target"], plain["epochs_to_target"], plain["samples_to_target"]) == (3, 1, 96)


def test_a_record_says_what_it_depends_on(several):
    """Settings, versions and machine, and no names of hosts or folders."""
    run = several.of("adam")[1]
    assert (run["arm"], run["seed"], run["diverged"], run["finder"]) == ("adam", 5, None, {})
    assert (run["config"]["epochs"], run["config"]["batch_size"]) == (1, 16)
    assert run["config"]["optimizer"]["config"]["learning_rate"] == pytest.approx(0.01)
    assert {"keras", "numpy", "onecycle", "python", keras.backend.backend()} == set(run["versions"])
    assert set(run["machine"]) == {"cores", "processor", "system", "devices"}


def test_a_comparison_saves_and_loads_whole(several, tmp_path):
    """What is loaded equals what was saved, and says the same."""
    several.save(tmp_path / "comparison.json")
    loaded = results.load(tmp_path / "comparison.json")
    assert loaded == several
    assert loaded.summary() == several.summary()


class Order(keras.layers.Layer):
    """Keeps a number that depends on every row it was trained on, and on their order."""

    def build(self, input_shape):
        """Makes the number."""
        self.number = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        """Passes the rows on."""
        if training:
            places = keras.ops.cumsum(keras.ops.ones_like(x[:, 0]))
            self.number.assign(1.3 * self.number + keras.ops.sum(x[:, 0] * places))
        return x


def test_every_arm_sees_the_same_batches_in_the_same_order():
    """Rows come in the same order in a plain arm, in a cycle and after the finder, and in another with another seed."""
    models = []

    def ordered():
        models.append(keras.Sequential([keras.Input((4,)), Order(), *build().layers]))
        models[-1].compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return models[-1]

    arms = {"plain": {}, "cycle": {"max_learning_rate": 0.01}, "auto": {"max_learning_rate": "auto"}}
    compare(ordered, lambda seed: data_of(), arms, seeds=2, epochs=2, verbose=0)
    # The first model was only looked at.
    numbers = [float(keras.ops.convert_to_numpy(model.layers[0].number)) for model in models[1:]]
    assert numbers[0] == numbers[1] == numbers[2]
    assert numbers[3] == numbers[4] == numbers[5]
    assert numbers[0] != numbers[3]


def test_the_finder_leaves_no_trace_and_its_cost_is_counted():
    """A rate that was found trains as the same rate given, to the last bit; its steps and time are added."""
    auto = {"max_learning_rate": "auto"}
    found = compared({"auto": auto}, target=0.0).runs[0]
    rate = found["finder"]["learning_rate"]
    given = compared({"auto": {"max_learning_rate": rate}}, target=0.0).runs[0]
    assert found["history"] == given["history"]
    assert found["steps"] == given["steps"]
    assert found["finder"]["steps"] >= 10
    assert 0 < found["finder"]["seconds"] < found["seconds"][0]
    assert found["steps_to_target"] == given["steps_to_target"] + found["finder"]["steps"]
    assert found["epochs_to_target"] == pytest.approx(1 + found["finder"]["steps"] / 3)
    assert found["samples_to_target"] == given["samples_to_target"] + 32 * found["finder"]["steps"]


def test_a_second_range_test_is_counted_with_the_first():
    """Where `fit_one_cycle` had to test twice, the steps are those of the second and the most that the first had."""
    rates = np.geomspace(1e-8, 1e3, 50)
    second = results.RangeTest.from_losses(rates, np.ones(50), results.StopReason.DIVERGED, num_steps=900)
    object.__setattr__(second, "suggestions", {second.rule: results.Suggestion(0.1, "It looks good.")})
    assert finder_facts(second, 1.5)["steps"] == 50 + 300


def test_data_may_depend_on_the_seed():
    """A function of the seed gives each seed its own split, the same for every arm."""
    comparison = compare(build, data_of, {"one": {}, "two": {}}, seeds=2, epochs=1, verbose=0)
    assert comparison.problems == ()
    assert len({run["config"]["data"] for run in comparison.runs}) == 2


def rich():
    """A net with BatchNormalization and dropout, and Adam."""
    layers = keras.layers
    body = [keras.Input((4,)), layers.Dense(8), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.2)]
    model = keras.Sequential([*body, layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the programs are JAX's")
def test_seeds_trained_together_are_what_they_are_alone():
    """One program for all seeds, and a `fit` for each, give the same records; only the times differ."""
    arms = {
        "plain": {},
        "found": {"max_learning_rate": "auto", "optimizer": "sgd"},
        "cycle": {"max_learning_rate": 0.05, "batch_size": 20},
        "wild": {"schedule": "constant", "max_learning_rate": 1e30, "optimizer": "sgd"},
    }
    options = {"seeds": [3, 5, 8], "epochs": 3, "metric": "val_loss", "verbose": 0}
    together = compare(rich, data_of(), arms, **options)
    alone = compare(rich, lambda seed: data_of(), arms, **options)
    for one, other in zip(together.runs, alone.runs, strict=True):
        assert "3 seeds together" in one["config"]["trained"]
        assert "trained" not in other["config"]
        for name in ("arm", "seed", "steps", "samples", "diverged"):
            assert one[name] == other[name]
        assert one["config"]["initial_weights"] == other["config"]["initial_weights"]
        assert one["finder"].get("steps") == other["finder"].get("steps")
        assert one["finder"].get("learning_rate") == pytest.approx(other["finder"].get("learning_rate"))
        assert len(one["seconds"]) == len(one["steps"])
        if one["diverged"] is None:
            alike(one["history"], other["history"])
        else:  # what the others' metrics were in the epoch of the NaN is not kept
            assert len(one["history"]["loss"]) == len(other["history"]["loss"]) == one["diverged"]
    assert all(run["diverged"] for run in together.of("wild"))


class Batches(keras.utils.PyDataset):
    """The same rows, in batches of its own."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x) // 32

    def __getitem__(self, index):
        return self.x[32 * index : 32 * index + 32], self.y[32 * index : 32 * index + 32]


def test_data_may_be_data_sets():
    """A data set that holds its targets stands with None beside it; its rows cannot be counted, all else is."""
    train, held_out = (Batches(*part) for part in data_of())
    data = ((train, None), (held_out, None))
    comparison = compare(build, data, {"one": {}, "two": {}}, seeds=1, epochs=2, target=0.0, verbose=0)
    one, two = comparison.runs
    assert (one["steps"], one["samples"]) == ([3, 6], [])
    assert one["history"]["loss"] == pytest.approx(two["history"]["loss"])
    assert comparison.verdicts["two"]["steps"].effect == 1.0
    assert comparison.verdicts["two"]["samples"].kind == "not measured"


def test_a_build_that_the_seed_does_not_settle_is_reported():
    """Where the arms of a seed start with different weights, the comparison says so."""
    draws = np.random.default_rng()

    def unsettled():
        model = build()
        model.set_weights([draws.normal(size=w.shape) for w in model.get_weights()])
        return model

    comparison = compare(unsettled, data_of(), {"one": {}, "two": {}}, seeds=1, epochs=1, verbose=0)
    assert "With seed 0 the arms did not have the same initial weights" in comparison.problems[0]
    assert "Problem: With seed 0" in comparison.summary()


@pytest.mark.parametrize(
    "arm",
    [
        {"schedule": "constant", "max_learning_rate": 0.1},
        {"schedule": "pytorch", "max_learning_rate": 0.1, "momentum": (0.9, 0.8)},
        {"schedule": "warmup_linear", "max_learning_rate": 0.1},
        {"schedule": lambda steps, peak: WarmupLinearDecay(peak, steps), "max_learning_rate": 0.1},
        {"schedule": OneCycle(0.1, 6), "optimizer": lambda: keras.optimizers.SGD(0.3, momentum=0.9)},
        {"optimizer": "adam"},
    ],
)
def test_every_kind_of_arm_trains(arm):
    """Each schedule and each way to name an optimizer ends in a finite loss, twice with the same one."""
    one, two = (compared({"arm": arm}).runs[0] for _ in range(2))
    assert np.isfinite(one["history"]["loss"]).all()
    assert one["history"] == two["history"]
    assert one["identity"] == two["identity"]


def test_a_constant_rate_is_plain_sgd_at_that_rate():
    """The arm "constant" gives what the optimizer with that rate gives."""
    arms = {"compiled": {"optimizer": keras.optimizers.SGD(0.1)}}
    arms["constant"] = {"optimizer": "sgd", "schedule": "constant", "max_learning_rate": 0.1}
    comparison = compared(arms)
    first, second = (comparison.of(name)[0]["history"]["loss"] for name in arms)
    assert first == pytest.approx(second, rel=1e-5)


def test_callbacks_are_made_anew_for_each_run():
    """The arm's function is called once a run, and what it returns is used."""
    made = []

    def callbacks():
        made.append(keras.callbacks.EarlyStopping(monitor="loss", patience=0, min_delta=1e9))
        return [made[-1]]

    comparison = compared({"stopping": {"callbacks": callbacks}}, seeds=2, epochs=5)
    assert len(made) == 2
    assert [len(run["steps"]) for run in comparison.runs] == [2, 2]


def test_a_run_that_diverges_is_kept_and_counts_as_the_worst():
    """Training ends with the epoch of the first loss that is not finite; the comparison goes on."""
    arms = {"plain": {}, "wild": {"schedule": "constant", "max_learning_rate": 1e30}}
    comparison = compared(arms, seeds=6, epochs=3, metric="val_loss")
    wild = comparison.of("wild")
    assert all(run["diverged"] is not None and len(run["steps"]) == run["diverged"] for run in wild)
    assert not any(run["reached"] for run in wild)
    verdict = comparison.verdicts["wild"]["final"]
    assert verdict.kind in ("worse", "cannot tell")
    assert all(difference >= 0 for difference in verdict.differences)
    assert "diverged" in verdict.sentence
    assert comparison.summary()


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"rate": 0.1}, r"Arm 'arm' may have schedule, max_learning_rate, .*Received: 'rate'"),
        ({"schedule": "zigzag"}, r"Arm 'arm': Argument `schedule` must be one of .*'zigzag'"),
        ({"schedule": 3}, r"must be a name, a keras LearningRateSchedule or a callable"),
        ({"schedule": "none", "max_learning_rate": 0.1}, r"says nothing to a plain `fit`"),
        ({"max_learning_rate": "best"}, r'must be a number or "auto"'),
        ({"max_learning_rate": -1}, r"must be > 0"),
        ({"schedule": OneCycle(0.1, 6), "max_learning_rate": 0.1}, r"give either `schedule` or `max_learning_rate`"),
        ({"optimizer": 3}, r"must be a name, a keras optimizer or a function"),
        ({"batch_size": 0}, r"`batch_size` must be >= 1"),
        ({"epochs": 0}, r"`epochs` must be >= 1"),
        ({"callbacks": []}, r"must be a function that returns a list"),
        ({"momentum": (0.1, 0.9), "max_learning_rate": 1.0}, r"0 <= low <= high"),
        ({"schedule": "constant", "max_learning_rate": 0.1, "momentum": (0.9, 0.8)}, r"has no cycle"),
        ("adam", r"must be a dict"),
    ],
)
def test_a_wrong_arm_is_refused_before_any_run(arm, message):
    """The error names the arm and says what it may be."""
    with pytest.raises((TypeError, ValueError), match=message):
        compare(lambda: pytest.fail("built"), data_of(), {"arm": arm}, seeds=1, epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "`seeds` must be"),
        ({"seeds": [1, 1]}, "`seeds` must be"),
        ({"epochs": 0}, "`epochs` must be >= 1"),
        ({"batch_size": 0}, "`batch_size` must be >= 1"),
        ({"margin": 0}, "`margin` must be > 0"),
        ({"target": "high"}, "`target` must be a finite number"),
        ({"mode": "up"}, '`mode` must be "auto", "max" or "min"'),
        ({"metric": "val_fancy"}, 'pass `mode="max"`'),
        ({"jobs": 0}, "`jobs` must be >= 1"),
        ({"jobs": 2, "cluster": "ray"}, "either `jobs` or `cluster`"),
    ],
)
def test_bad_arguments_are_refused_before_any_run(options, message):
    """The error is in Keras' form, and nothing is built."""
    arguments = {"seeds": 1, "epochs": 1, **options}
    with pytest.raises((TypeError, ValueError), match=message):
        compare(lambda: pytest.fail("built"), data_of(), {"arm": {}}, **arguments)


def test_a_model_that_is_not_compiled_is_refused():
    """What `build` must return is said before any run."""
    with pytest.raises(ValueError, match="returns a compiled keras"):
        compare(lambda: keras.Sequential([keras.Input((4,))]), data_of(), {"arm": {}}, seeds=1, epochs=1)


def test_data_without_validation_is_refused():
    """The form of `data` is said."""
    with pytest.raises(ValueError, match=r"`data` must be \(\(x, y\), \(x_val, y_val\)\)"):
        compare(build, data_of()[0], {"arm": {}}, seeds=1, epochs=1)


UNTRAINED = {"optimizer": lambda: pytest.fail("a run was begun")}


def test_a_metric_that_no_run_has_is_named_before_any_run():
    """The error lists what there is, and costs no training."""
    with pytest.raises(ValueError, match="must be one of accuracy, loss, val_accuracy, val_loss"):
        compared({"arm": UNTRAINED}, metric="val_auc")


def fanciness(y, y_predicted):
    """A measure whose name does not tell which way is better."""
    return keras.ops.mean(y_predicted, axis=-1)


def fancy():
    """A net with that measure."""
    model = build()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=[fanciness])
    return model


def test_a_metric_that_does_not_tell_its_mode_is_refused_before_any_run():
    """The one that is chosen where none was asked for as well; with a mode it is compared."""
    with pytest.raises(ValueError, match="'val_fanciness' does not tell whether higher is better"):
        compare(fancy, data_of(), {"arm": UNTRAINED}, seeds=1, epochs=1)

    assert compare(fancy, data_of(), {"arm": {}}, seeds=1, epochs=1, mode="max", verbose=0).metric == "val_fanciness"


def counting():
    """A callback that adds a number of its own to the history."""

    def add(epoch, logs):
        logs["val_score"] = 1.0 + epoch

    return [keras.callbacks.LambdaCallback(on_epoch_end=add)]


def test_a_metric_that_callbacks_add_may_be_compared():
    """Where every arm has callbacks; where one has none, it cannot have that metric, and is told so before any run."""
    comparison = compared({"arm": {"callbacks": counting}}, metric="val_score", mode="max")
    assert comparison.runs[0]["final"] == 2.0

    with pytest.raises(ValueError, match="must be one of accuracy"):
        compared({"arm": {"callbacks": counting}, "other": UNTRAINED}, metric="val_score", mode="max")


def test_a_model_that_trains_its_own_way_may_tell_of_other_things():
    """Of its training only: validation is what an evaluation told. Of a generator nothing is known before the runs."""
    own = Expected(("loss", "val_loss"), others=False, others_of_training=True)
    assert own.settled([], "odd_loss", "auto") == ("odd_loss", "min")
    assert own.settled([], None, "auto") == ("val_loss", "min")
    with pytest.raises(ValueError, match="must be one of loss, val_loss"):
        own.settled([], "val_odd_loss", "auto")

    unknown = Expected(None, others=False, others_of_training=False)
    assert unknown.settled([], "val_odd_loss", "auto") == ("val_odd_loss", "auto")


@pytest.mark.parametrize("seeds", [np.int64(2), np.uint8(2), [0, 1]])
def test_a_number_of_seeds_may_be_numpys(seeds):
    """Any integer is one."""
    assert _seeds(seeds) == (0, 1)


def facts(**given):
    """What an arm's identity rests on."""
    return Arm.read("arm", given).facts()


def test_what_picks_a_rate_is_part_of_an_arm_that_picks(monkeypatch):
    """Another default rule makes other runs of arms with a range test, another picker of those with a sweep too."""
    kinds = [{"max_learning_rate": name} for name in ("auto", "range test", "sweep")]
    before = [facts(**kind) for kind in kinds]
    monkeypatch.setattr(arms, "DEFAULT_RULE", "another")
    assert [facts(**kind) == old for kind, old in zip(kinds, before, strict=True)] == [False, False, True]
    monkeypatch.setattr(arms, "PICKING_FORMAT", 1000)
    assert [facts(**kind) == old for kind, old in zip(kinds, before, strict=True)] == [False, False, False]


@pytest.mark.parametrize(
    "arm", [{}, {"optimizer": "adam"}, {"max_learning_rate": 0.1}, {"schedule": OneCycle(0.1, 6)}, {"schedule": "none"}]
)
def test_an_arm_that_picks_nothing_knows_no_picker(arm):
    """Its records stay valid whatever becomes of the pickers."""
    assert set(facts(**arm)) == {"schedule", "max_learning_rate", "optimizer", "momentum", "callbacks"}


def test_a_run_that_fails_says_which():
    """The error names the arm and the seed, and what went wrong."""

    def broken():
        raise OSError("no more")

    with pytest.raises(RuntimeError, match="Arm 'second' with seed 0: OSError: no more"):
        compared({"first": {}, "second": {"callbacks": broken}})
