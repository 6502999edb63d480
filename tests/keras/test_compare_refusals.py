"""What a comparison refuses, and that it does so before any run."""

import keras
import pytest
from oracles.comparisons import build, compared, data_of

from onecycle import compare
from onecycle.comparison.sample_run import Expected
from onecycle.schedules import OneCycle


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


@pytest.mark.parametrize("metric", ["val_auc", "nonsense"])
def test_a_metric_that_no_run_has_is_named_before_any_run(metric):
    """The error lists what there is, and costs no training."""
    with pytest.raises(ValueError, match="must be one of accuracy, loss, val_accuracy, val_loss"):
        compared({"arm": UNTRAINED}, metric=metric)


ONE_AND_THE_SAME = keras.optimizers.SGD(0.1)


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"optimizer": "adagrad", "max_learning_rate": 0.1, "momentum": (0.9, 0.8)}, "Adagrad has no `momentum`"),
        ({"optimizer": "adagrad", "max_learning_rate": "auto", "momentum": (0.9, 0.8)}, "Adagrad has no `momentum`"),
        ({"optimizer": lambda: None}, "a function that returns a new keras optimizer. It returned: None"),
        ({"optimizer": lambda: 3}, "Could not interpret optimizer"),
        ({"optimizer": lambda: ONE_AND_THE_SAME}, "a new optimizer each time"),
        ({"schedule": lambda steps, peak: "slow", "max_learning_rate": 0.1}, "`schedule` must"),
        ({"schedule": lambda steps, peak: [][steps], "max_learning_rate": 0.1}, "IndexError: list index"),
    ],
)
def test_an_arm_that_cannot_train_is_refused_before_any_run(arm, message):
    """Also where that shows only when its optimizer and its schedule are made."""
    first = {"callbacks": lambda: pytest.fail("a run was begun")}
    with pytest.raises((TypeError, ValueError, RuntimeError), match=f"Arm 'second': .*{message}"):
        compared({"first": first, "second": arm})


@pytest.mark.parametrize("options", [{"arms": {"arm": {"batch_size": 16}}}, {"batch_size": 16}])
def test_data_sets_have_a_batch_size_of_their_own(options):
    """To ask for another is an error, as it is in Keras, and not without effect."""
    (x, y), _ = data_of()
    batched = [(x[:32], y[:32]), (x[32:64], y[32:64])]
    data = ((batched_set(batched), None), (batched_set(batched), None))
    with pytest.raises(ValueError, match=r"says nothing to data sets.*16"):
        compare(build, data, **{"arms": {"arm": UNTRAINED}, "seeds": 1, "epochs": 1, **options})


def batched_set(batched):
    """A data set of these batches."""

    class Batched(keras.utils.PyDataset):
        def __len__(self):
            return len(batched)

        def __getitem__(self, index):
            return batched[index]

    return Batched()


def test_a_generator_that_only_one_run_could_read_is_refused():
    """Before any run; a function that makes a new one for each is the way out."""
    (x, y), held_out = data_of()
    with pytest.raises(ValueError, match=r"`data` is a generator.*a function of the seed"):
        compare(build, ((iter([(x, y)]), None), held_out), {"arm": UNTRAINED}, seeds=1, epochs=1)


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


def test_a_run_that_fails_says_which():
    """The error names the arm and the seed, and what went wrong."""

    def broken():
        raise OSError("no more")

    with pytest.raises(RuntimeError, match="Arm 'second' with seed 0: OSError: no more"):
        compared({"first": {}, "second": {"callbacks": broken}})
