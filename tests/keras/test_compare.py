"""What one comparison does with a person's model and data, on every backend."""

import keras
import numpy as np
import pytest
from oracles.comparisons import build, compared, data_of

from onecycle import compare, results
from onecycle.comparison import arms
from onecycle.comparison.arms import Arm
from onecycle.comparison.comparing import _seeds
from onecycle.comparison.runs import finder_facts
from onecycle.schedules import OneCycle, WarmupLinearDecay


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
    assert (one["steps"], one["samples"], one["config"]["batch_size"]) == ([3, 6], [], None)
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
        {"optimizer": lambda: "adam"},
        {
            "schedule": lambda steps, peak: WarmupLinearDecay(
                peak, steps, final_learning_rate=peak / 2 if peak > 0.02 else 1
            )
        },
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


def test_data_are_read_once_a_run_and_seeded_before():
    """A split that is drawn from the global generators is each seed's own, the same for every arm."""
    read = []

    def drawn(seed):
        read.append(seed)
        x = np.random.normal(size=(64, 4)).astype("float32")  # noqa: NPY002
        return (x[:32], x[:32, 0] > 0), (x[32:], x[32:, 0] > 0)

    comparison = compare(build, drawn, {"one": {}, "two": {}}, seeds=2, epochs=1, verbose=0)
    assert read == [0, 0, 0, 1, 1]  # once to look at them
    assert comparison.problems == ()


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the programs are JAX's")
def test_times_of_runs_that_were_made_otherwise_are_told_of(tmp_path):
    """Seeds that are added are trained together, and take less time a run than the one that was alone."""
    options = {"epochs": 1, "directory": tmp_path, "verbose": 0}
    compare(build, data_of(), {"one": {}}, seeds=1, **options)
    comparison = compare(build, data_of(), {"one": {}}, seeds=3, **options)
    assert comparison.problems[0].startswith("Some runs were trained together")


@pytest.mark.parametrize("seeds", [np.int64(2), np.uint8(2), [0, 1], (1, 0), range(2), np.array([1, 0])])
def test_seeds_may_be_a_number_or_any_integers(seeds):
    """NumPy's too, in any order: results have them in their own."""
    assert _seeds(seeds) == (0, 1)


def facts(**given):
    """What an arm's identity rests on."""
    return Arm.read("arm", given).facts()


@pytest.mark.parametrize("given", [{}, {"momentum": None}, {"momentum": "auto"}, {"schedule": None, "momentum": None}])
def test_nothing_asked_for_is_a_plain_fit(given):
    """However it is said."""
    assert Arm.read("arm", given).wish is None


def test_a_pair_of_momenta_asks_for_a_cycle():
    """With the peak that the range test finds: a plain `fit` has none to cycle."""
    wish = Arm.read("arm", {"momentum": (0.9, 0.8)}).wish
    assert (wish.max_learning_rate, wish.momentum) == ("auto", (0.9, 0.8))


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
