"""Errors in the arguments of a comparison are raised before any run."""

import keras
import pytest
from oracles.comparisons import build, compared, data_of

from onecycle import compare
from onecycle.comparison.dry_run import HistoryKeys
from onecycle.schedules import OneCycle


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"rate": 0.1}, r"Arm 'arm' can have the keys schedule, max_learning_rate, .*Received: 'rate'"),
        ({"schedule": "zigzag"}, r"Arm 'arm': Argument `schedule` must be one of .*'zigzag'"),
        ({"schedule": 3}, r"must be a name, a keras LearningRateSchedule or a callable"),
        ({"schedule": "none", "max_learning_rate": 0.1}, r"has no effect on a plain `fit`"),
        ({"max_learning_rate": "best"}, r'must be a number, "auto" or "range test"\. Received'),
        ({"max_learning_rate": "sweep"}, r'"range test"\. The sweep was removed; a race finds better peaks'),
        ({"max_learning_rate": -1}, r"must be > 0"),
        ({"schedule": OneCycle(0.1, 6), "max_learning_rate": 0.1}, r"Pass either `schedule` or `max_learning_rate`"),
        ({"optimizer": 3}, r"must be a name, a keras optimizer or a function"),
        ({"batch_size": 0}, r"`batch_size` must be >= 1"),
        ({"epochs": 0}, r"`epochs` must be >= 1"),
        ({"callbacks": []}, r"must be a function that returns a list"),
        ({"momentum": (0.1, 0.9), "max_learning_rate": 1.0}, r"0 <= low <= high"),
        ({"schedule": "constant", "max_learning_rate": 0.1, "momentum": (0.9, 0.8)}, r"has no cycle"),
        ("adam", r"must be a dict"),
    ],
)
def test_invalid_arm_is_refused(arm, message):
    """The error says what the arm may contain, and nothing is built."""
    with pytest.raises((TypeError, ValueError), match=message):
        compare(lambda: pytest.fail("built"), data_of(), {"arm": arm}, seeds=1, epochs=1)


def test_one_arm_is_refused():
    """A baseline alone has nothing to be compared with; the error says what to add, and nothing is built."""
    with pytest.raises(ValueError, match=r"`arms` must have at least two arms.* Add .*Received: one arm, 'cycle'"):
        compare(lambda: pytest.fail("built"), data_of(), {"cycle": {"max_learning_rate": 0.1}}, seeds=6, epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "`seeds` must be"),
        *(
            ({"seeds": seeds}, "`seeds` must be")
            for seeds in ([1, 1], [], [-1], "12", 2.5, None, [1.5, 2], [True, 2], True)
        ),
        ({"epochs": 0}, "`epochs` must be >= 1"),
        ({"batch_size": 0}, "`batch_size` must be >= 1"),
        ({"margin": 0}, "`margin` must be > 0"),
        ({"target": "high"}, "`target` must be a finite number"),
        ({"mode": "up"}, '`mode` must be "auto", "max" or "min"'),
        ({"jobs": 0}, "`jobs` must be >= 1"),
        ({"jobs": 2, "cluster": "ray"}, "either `jobs` or `cluster`"),
        *(({"cluster": cluster}, "`cluster` must be") for cluster in ("slurm", "dask", "dask://", "", 3)),
    ],
)
def test_invalid_arguments_are_refused(options, message):
    """The error has Keras' form, and nothing is built."""
    arguments = {"seeds": 1, "epochs": 1, **options}
    with pytest.raises((TypeError, ValueError), match=message):
        compare(lambda: pytest.fail("built"), data_of(), {"arm": {}, "other": {}}, **arguments)


def test_uncompiled_model_is_refused():
    """The error says what `build` must return."""
    with pytest.raises(ValueError, match="returns a compiled keras"):
        compare(lambda: keras.Sequential([keras.Input((4,))]), data_of(), {"arm": {}, "other": {}}, seeds=1, epochs=1)


def test_data_without_validation_are_refused():
    """The error says which form `data` must have."""
    with pytest.raises(ValueError, match=r"`data` must be \(\(x, y\), \(x_val, y_val\)\)"):
        compare(build, data_of()[0], {"arm": {}, "other": {}}, seeds=1, epochs=1)


UNTRAINED = {"optimizer": lambda: pytest.fail("a run was started")}
UNTRAINED_CALLBACKS = {"callbacks": lambda: pytest.fail("a run was started")}


@pytest.mark.parametrize("metric", ["val_auc", "nonsense"])
def test_unknown_metric_is_refused(metric):
    """The error lists the metrics before any training."""
    with pytest.raises(ValueError, match="must be one of accuracy, loss, val_accuracy, val_loss"):
        compared({"arm": UNTRAINED, "other": UNTRAINED}, metric=metric)


SHARED_OPTIMIZER = keras.optimizers.SGD(0.1)


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"optimizer": "adagrad", "max_learning_rate": 0.1, "momentum": (0.9, 0.8)}, "Adagrad has no `momentum`"),
        ({"optimizer": "adagrad", "max_learning_rate": "auto", "momentum": (0.9, 0.8)}, "Adagrad has no `momentum`"),
        (
            {"optimizer": lambda: None},
            r"returns a new keras optimizer. Received: optimizer\(\) -> None",
        ),
        ({"optimizer": lambda: 3}, "Could not interpret optimizer"),
        ({"optimizer": lambda: SHARED_OPTIMIZER}, "a new optimizer each time"),
        ({"schedule": lambda steps, peak: "slow", "max_learning_rate": 0.1}, "`schedule` must"),
        ({"schedule": lambda steps, peak: [][steps], "max_learning_rate": 0.1}, "IndexError: list index"),
    ],
)
def test_arm_that_cannot_train_is_refused(arm, message):
    """Errors that show only when the optimizer and the schedule are made are raised before any run."""
    with pytest.raises((TypeError, ValueError, RuntimeError), match=f"Arm 'second': .*{message}"):
        compared({"first": UNTRAINED_CALLBACKS, "second": arm})


@pytest.mark.parametrize("options", [{"arms": {"arm": {}, "other": {"batch_size": 16}}}, {"batch_size": 16}])
def test_batch_size_for_data_sets_is_refused(options):
    """A batch size for data that come in batches is an error, as it is in Keras."""
    (x, y), _ = data_of()
    batched = [(x[:32], y[:32]), (x[32:64], y[32:64])]
    data = ((batched_set(batched), None), (batched_set(batched), None))
    with pytest.raises(ValueError, match=r"has no effect on data sets.*16"):
        compare(build, data, **{"arms": {"arm": UNTRAINED, "other": UNTRAINED}, "seeds": 1, "epochs": 1, **options})


class Negative(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of negative rates."""

    def __call__(self, step):
        """Return the rate."""
        return -0.1

    def get_config(self):
        """Return the configuration."""
        return {}


@pytest.mark.parametrize("arm", [{"schedule": Negative()}, {"schedule": lambda steps, peak: Negative()}])
@pytest.mark.parametrize("in_batches", [False, True])
def test_negative_rates_are_refused(arm, in_batches):
    """A schedule is evaluated before the first run, also for data sets."""
    (x, y), held_out = data_of()
    data = ((batched_set([(x[:32], y[:32])]), None) if in_batches else (x, y)), held_out
    with pytest.raises(ValueError, match=r"Arm 'second': The schedule of `learning_rate` must return .* >= 0"):
        compare(build, data, {"first": UNTRAINED_CALLBACKS, "second": arm}, seeds=1, epochs=1)


@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed", "ignore:Your input ran out of data")  # of generators
def test_cycle_on_data_of_unknown_length_is_refused():
    """A generator has no length, so a cycle on it has none either. A plain `fit` and a ready schedule need none."""

    def endless(seed):
        (x, y), held_out = data_of(seed)
        return ((batch for batch in [(x, y)] * 3), None), held_out

    with pytest.raises(ValueError, match="Arm 'cycle': A cycle needs data of known length"):
        compare(build, endless, {"plain": UNTRAINED_CALLBACKS, "cycle": {"max_learning_rate": 0.1}}, seeds=1, epochs=1)
    arms = {"plain": {}, "ready": {"schedule": OneCycle(0.1, 3)}}
    assert compare(build, endless, arms, seeds=1, epochs=1, verbose=0).runs[1]["steps"] == [3]


@pytest.mark.parametrize("part", [0, 1])
def test_nan_in_the_data_is_refused(part):
    """NaN in the training or the validation data is named before the first run."""
    data = data_of()
    data[part][0][3, 1] = float("nan")
    with pytest.raises(ValueError, match=r"`x`( of `validation_data`)? has NaN in 1 of .* first in row 3"):
        compare(build, data, {"arm": UNTRAINED_CALLBACKS, "other": {}}, seeds=1, epochs=1)


def batched_set(batched):
    """Return a data set of these batches."""

    class Batched(keras.utils.PyDataset):
        def __len__(self):
            return len(batched)

        def __getitem__(self, index):
            return batched[index]

    return Batched()


def test_generator_is_refused():
    """A generator, which only one run could read, is refused, and the error suggests a function that makes one."""
    (x, y), held_out = data_of()
    with pytest.raises(ValueError, match=r"`data` is a generator.*a function of the seed"):
        compare(build, ((iter([(x, y)]), None), held_out), {"arm": UNTRAINED, "other": UNTRAINED}, seeds=1, epochs=1)


def fanciness(y, y_predicted):
    """Return a metric whose name says nothing about its direction."""
    return keras.ops.mean(y_predicted, axis=-1)


def fancy():
    """Return a net with that metric."""
    model = build()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=[fanciness])
    return model


def test_metric_of_unknown_direction_is_refused():
    """A metric whose direction cannot be inferred needs a mode, even if it is the default metric."""
    with pytest.raises(ValueError, match="'val_fanciness' does not show whether a higher or a lower value is better"):
        compare(fancy, data_of(), {"arm": UNTRAINED, "other": UNTRAINED}, seeds=1, epochs=1)

    assert (
        compare(fancy, data_of(), {"arm": {}, "other": {}}, seeds=1, epochs=1, mode="max", verbose=0).metric
        == "val_fanciness"
    )


def counting():
    """Return a callback that adds a value to the history."""

    def add(epoch, logs):
        logs["val_score"] = 1.0 + epoch

    return [keras.callbacks.LambdaCallback(on_epoch_end=add)]


def test_metric_added_by_callbacks_may_be_compared():
    """A metric that callbacks add is accepted if every arm has callbacks, and refused otherwise."""
    comparison = compared(
        {"arm": {"callbacks": counting}, "other": {"callbacks": counting}}, metric="val_score", mode="max"
    )
    assert comparison.runs[0]["final"] == 2.0

    with pytest.raises(ValueError, match="must be one of accuracy"):
        compared({"arm": {"callbacks": counting}, "other": UNTRAINED}, metric="val_score", mode="max")


def test_overridden_train_step_may_report_other_metrics():
    """A model that overrides `train_step` may report other training metrics, but no other validation metrics."""
    keys = HistoryKeys(("loss", "val_loss"), unknown_from_callbacks=False, unknown_from_training=True)
    assert keys.resolve_metric([], "odd_loss", "auto") == ("odd_loss", "min")
    assert keys.resolve_metric([], None, "auto") == ("val_loss", "min")
    with pytest.raises(ValueError, match="must be one of loss, val_loss"):
        keys.resolve_metric([], "val_odd_loss", "auto")


def test_metrics_are_unknown_for_generator():
    """If the validation data are a generator, nothing is known before the runs, and any metric is accepted."""
    keys = HistoryKeys(None, unknown_from_callbacks=False, unknown_from_training=False)
    assert keys.resolve_metric([], "val_odd_loss", "auto") == ("val_odd_loss", "auto")


def test_error_in_run_names_arm_and_seed():
    """The error of a run names the arm, the seed and the cause."""

    def broken():
        raise OSError("no more")

    with pytest.raises(RuntimeError, match="Arm 'second' with seed 0: OSError: no more"):
        compared({"first": {}, "second": {"callbacks": broken}})
