"""What a comparison does with the user's model and data."""

import keras
import numpy as np
import pytest
from oracles.comparisons import build, compared, data_of

from onecycle import compare, results
from onecycle.comparison import arms
from onecycle.comparison.arms import Arm
from onecycle.comparison.comparing import _seeds
from onecycle.comparison.runs import finder_cost
from onecycle.schedules import OneCycle, WarmupLinearDecay

pytestmark = pytest.mark.one_backend


def assert_close(history, other):
    """Assert that two histories have the same keys and, to float32 precision, the same values."""
    assert list(history) == list(other)
    for name, values in history.items():
        np.testing.assert_allclose(values, other[name], rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def comparison():
    """A comparison of several kinds of arms with two seeds."""
    arms = {
        "plain": {},
        "again": {},
        "cycle": {"max_learning_rate": 0.5},
        "adam": {"optimizer": keras.optimizers.Adam(0.01), "batch_size": 16, "epochs": 1},
    }
    return compared(arms, seeds=[3, 5], target=0.0)


def test_equal_arms_have_equal_runs(comparison):
    """Two plain arms have the same weights, batches and split, and so the same history to the last bit."""
    for one, other in zip(comparison.of("plain"), comparison.of("again"), strict=True):
        assert one["history"] == other["history"]
    assert comparison.verdicts["again"]["final"].differences == (0.0, 0.0)


def test_arms_of_a_seed_have_same_start(comparison):
    """Initial weights and data are the same for all arms of a seed, and the weights differ between seeds."""
    assert comparison.problems == ()
    assert len({run["config"]["initial_weights"] for run in comparison.runs}) == 2
    assert len({(run["seed"], run["config"]["initial_weights"]) for run in comparison.runs}) == 2


def test_empty_arm_is_plain_fit(comparison):
    """Its history equals that of seeding, building, seeding again and calling `fit`."""
    (x, y), validation = data_of()
    keras.utils.set_random_seed(3)
    model = build()
    keras.utils.set_random_seed(3)
    history = model.fit(x, y, epochs=2, batch_size=32, validation_data=validation, verbose=0).history
    assert_close(comparison.of("plain")[0]["history"], history)


def test_steps_samples_and_seconds_are_counted(comparison):
    """Steps, samples and seconds are cumulative at the end of each epoch, for the arm's batch size and epochs."""
    plain, adam = comparison.of("plain")[0], comparison.of("adam")[0]
    assert (plain["steps"], plain["samples"]) == ([3, 6], [96, 192])
    assert (adam["steps"], adam["samples"]) == ([6], [96])
    assert 0 < plain["seconds"][0] < plain["seconds"][1]
    assert (plain["steps_to_target"], plain["epochs_to_target"], plain["samples_to_target"]) == (3, 1, 96)


def test_record_contains_settings_versions_and_machine(comparison):
    """A record contains its settings, the versions and the machine, but no names of hosts or folders."""
    run = comparison.of("adam")[1]
    assert (run["arm"], run["seed"], run["diverged"], run["finder"]) == ("adam", 5, None, {})
    assert (run["config"]["epochs"], run["config"]["batch_size"]) == (1, 16)
    assert run["config"]["optimizer"]["config"]["learning_rate"] == pytest.approx(0.01)
    assert {"keras", "numpy", "onecycle", "python", keras.backend.backend()} == set(run["versions"])
    assert set(run["machine"]) - {"threads"} == {"cores", "processor", "system", "devices"}


def test_comparison_survives_saving(comparison, tmp_path):
    """A loaded comparison equals the saved one and has the same summary."""
    comparison.save(tmp_path / "comparison.json")
    loaded = results.load(tmp_path / "comparison.json")
    assert loaded == comparison
    assert loaded.summary() == comparison.summary()


class Order(keras.layers.Layer):
    """A layer with a number that depends on all rows it was trained on and on their order."""

    def build(self, input_shape):
        """Create the number."""
        self.number = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        """Return the rows unchanged."""
        if training:
            places = keras.ops.cumsum(keras.ops.ones_like(x[:, 0]))
            self.number.assign(1.3 * self.number + keras.ops.sum(x[:, 0] * places))
        return x


def test_arms_of_a_seed_see_rows_in_same_order():
    """Rows have the same order in a plain arm, in a cycle and after a search, and another order with another seed."""
    models = []

    def ordered():
        models.append(keras.Sequential([keras.Input((4,)), Order(), *build().layers]))
        models[-1].compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return models[-1]

    arms = {"plain": {}, "cycle": {"max_learning_rate": 0.01}, "auto": {"max_learning_rate": "auto"}}
    compare(ordered, lambda seed: data_of(), arms, seeds=2, epochs=2, verbose=0)
    # The first model is that of the dry run.
    numbers = [float(keras.ops.convert_to_numpy(model.layers[0].number)) for model in models[1:]]
    assert numbers[0] == numbers[1] == numbers[2]
    assert numbers[3] == numbers[4] == numbers[5]
    assert numbers[0] != numbers[3]


def test_cost_of_finder_is_counted():
    """A rate that is found gives the same history as the same rate given, and the finder's steps and time are added."""
    found = compared({"auto": {"max_learning_rate": "auto"}, "plain": {}}, target=0.0).runs[0]
    rate = found["finder"]["learning_rate"]
    given = compared({"given": {"max_learning_rate": rate}, "plain": {}}, target=0.0).runs[0]
    assert found["history"] == given["history"]
    assert found["steps"] == given["steps"]
    assert found["finder"]["steps"] >= 10
    assert 0 < found["finder"]["seconds"] < found["seconds"][0]
    assert found["steps_to_target"] == given["steps_to_target"] + found["finder"]["steps"]
    assert found["epochs_to_target"] == pytest.approx(1 + found["finder"]["steps"] / 3)
    assert found["samples_to_target"] == given["samples_to_target"] + 32 * found["finder"]["steps"]


def test_both_range_tests_are_counted():
    """If a second range test was needed, its steps and the most that the first can have had are counted."""
    rates = np.geomspace(1e-8, 1e3, 50)
    second = results.RangeTest.from_losses(rates, np.ones(50), results.StopReason.DIVERGED, num_steps=900)
    object.__setattr__(second, "suggestions", {second.rule: results.Suggestion(0.1, "Any reason.")})
    assert finder_cost(second, 1.5)["steps"] == 50 + 300


def test_data_may_depend_on_the_seed():
    """A function of the seed gives another split for each seed, and the same for every arm."""
    comparison = compare(build, data_of, {"one": {}, "two": {}}, seeds=2, epochs=1, verbose=0)
    assert comparison.problems == ()
    assert len({run["config"]["data"] for run in comparison.runs}) == 2


class Batches(keras.utils.PyDataset):
    """The same rows in batches."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x) // 32

    def __getitem__(self, index):
        return self.x[32 * index : 32 * index + 32], self.y[32 * index : 32 * index + 32]


def test_data_may_be_data_sets():
    """Data sets that contain their targets are compared like arrays, but their samples are not counted."""
    train, held_out = (Batches(*part) for part in data_of())
    data = ((train, None), (held_out, None))
    comparison = compare(build, data, {"one": {}, "two": {}}, seeds=1, epochs=2, target=0.0, verbose=0)
    one, two = comparison.runs
    assert (one["steps"], one["samples"], one["config"]["batch_size"]) == ([3, 6], [], None)
    assert one["history"]["loss"] == pytest.approx(two["history"]["loss"])
    assert comparison.verdicts["two"]["steps"].effect == 1.0
    assert comparison.verdicts["two"]["samples"].kind == "not measured"


def test_unseeded_build_is_reported():
    """If the arms of a seed start with different weights, the comparison reports a problem."""
    draws = np.random.default_rng()

    def unseeded():
        model = build()
        model.set_weights([draws.normal(size=w.shape) for w in model.get_weights()])
        return model

    comparison = compare(unseeded, data_of(), {"one": {}, "two": {}}, seeds=1, epochs=1, verbose=0)
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
    """Each schedule and each form of an optimizer gives a finite loss, and the same loss when it is repeated."""
    one, two = compared({"arm": arm, "again": arm}).runs
    assert np.isfinite(one["history"]["loss"]).all()
    assert one["history"] == two["history"]
    assert one["config"] == two["config"]


def test_constant_schedule_equals_constant_rate():
    """The schedule "constant" gives the same losses as an optimizer with that rate."""
    arms = {"compiled": {"optimizer": keras.optimizers.SGD(0.1)}}
    arms["constant"] = {"optimizer": "sgd", "schedule": "constant", "max_learning_rate": 0.1}
    comparison = compared(arms)
    first, second = (comparison.of(name)[0]["history"]["loss"] for name in arms)
    assert first == pytest.approx(second, rel=1e-5)


def test_callbacks_are_made_for_each_run():
    """The arm's function is called once per run, and the callbacks it returns are used."""
    made = []

    def callbacks():
        made.append(keras.callbacks.EarlyStopping(monitor="loss", patience=0, min_delta=1e9))
        return [made[-1]]

    comparison = compared({"plain": {}, "stopping": {"callbacks": callbacks}}, seeds=2, epochs=5)
    assert len(made) == 2
    assert [len(run["steps"]) for run in comparison.of("stopping")] == [2, 2]


def test_diverged_run_is_kept_and_counts_as_worst():
    """Training ends with the epoch of the first loss that is not finite, and the comparison continues."""
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


def test_data_are_read_once_per_run_after_seeding():
    """A split drawn from the global random generators is the same for every arm of a seed."""
    read = []

    def drawn(seed):
        read.append(seed)
        x = np.random.normal(size=(64, 4)).astype("float32")  # noqa: NPY002
        return (x[:32], x[:32, 0] > 0), (x[32:], x[32:, 0] > 0)

    comparison = compare(build, drawn, {"one": {}, "two": {}}, seeds=2, epochs=1, verbose=0)
    assert read == [0, 0, 0, 1, 1]  # once for the dry run
    assert comparison.problems == ()


@pytest.mark.parametrize("seeds", [np.int64(2), np.uint8(2), [0, 1], (1, 0), range(2), np.array([1, 0])])
def test_seeds_may_be_a_number_or_any_integers(seeds):
    """Seeds may be NumPy integers in any order, and are sorted."""
    assert _seeds(seeds) == (0, 1)


def config(**options):
    """Return the part of a run's identity that depends on the arm."""
    return Arm.from_dict("arm", options).config()


@pytest.mark.parametrize(
    "options", [{}, {"momentum": None}, {"momentum": "auto"}, {"schedule": None, "momentum": None}]
)
def test_default_options_are_plain_fit(options):
    """Options that equal the defaults mean a plain `fit`."""
    assert Arm.from_dict("arm", options).cycle_spec is None


def test_momentum_pair_implies_cycle():
    """With the peak that the range test finds: a plain `fit` has none to cycle."""
    spec = Arm.from_dict("arm", {"momentum": (0.9, 0.8)}).cycle_spec
    assert (spec.max_learning_rate, spec.momentum) == ("auto", (0.9, 0.8))


def test_identity_of_searching_arm_contains_search(monkeypatch):
    """Another default rule changes the identity of arms with a range test, and so does another search."""
    kinds = [{"max_learning_rate": name} for name in ("auto", "range test")]
    before = [config(**kind) for kind in kinds]
    for name, value in (("DEFAULT_RULE", "another"), ("PICKING_FORMAT", 1000)):
        with monkeypatch.context() as patch:
            patch.setattr(arms, name, value)
            assert [config(**kind) == old for kind, old in zip(kinds, before, strict=True)] == [False, False]


@pytest.mark.parametrize(
    "arm", [{}, {"optimizer": "adam"}, {"max_learning_rate": 0.1}, {"schedule": OneCycle(0.1, 6)}, {"schedule": "none"}]
)
def test_identity_of_other_arms_does_not_contain_search(arm):
    """The records of an arm that searches for no rate stay valid when the search changes."""
    assert set(config(**arm)) == {"schedule", "max_learning_rate", "optimizer", "momentum", "callbacks"}
