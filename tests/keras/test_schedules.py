"""The schedule classes on the current backend: values in the graph, configs, saving, invalid arguments."""

import copy
import pickle

import keras
import numpy as np
import pytest
from oracles.sample_schedules import SCHEDULES

from onecycle.schedules import CyclicalLearningRate, OneCycle, WarmupLinearDecay, WarmupStableDecay

PLAIN = [
    OneCycle(0.3, 100),
    OneCycle(0.3, 100, shape="cosine"),
    WarmupLinearDecay(0.3, 100),
    WarmupStableDecay(0.3, 100),
]


def name(value):
    """Return a schedule's repr, which names its test."""
    return repr(value) if isinstance(value, keras.optimizers.schedules.LearningRateSchedule) else None


def evaluate(schedule, steps, dtype="int32"):
    """Return the schedule's tensor for an array of steps, as NumPy."""
    return keras.ops.convert_to_numpy(schedule(keras.ops.convert_to_tensor(steps, dtype)))


def compiled(schedule):
    """Return the schedule compiled by the current backend; PyTorch runs it as it is."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(schedule)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(schedule)
    return schedule


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_tensor_agrees_with_values(schedule):
    """Before, during and after the cycle the float32 tensor differs from `values` by at most 1e-6 of the peak."""
    steps = np.arange(130)
    expected = schedule.values(130)
    assert np.abs(evaluate(schedule, steps) - expected).max() <= 1e-6 * expected.max()
    assert [schedule.value_at(int(step)) for step in steps] == pytest.approx(expected, rel=1e-14, abs=1e-300)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_compiled_scalar_agrees_with_values(schedule, dtype):
    """Compiled and called step by step, with either integer type, a schedule returns `values` as float32 scalars."""
    if dtype == "int64" and keras.backend.backend() == "jax":
        dtype = "int32"
    function = compiled(schedule)
    expected = schedule.values(130)
    for step in (0, 1, 2, 5, 8, 9, 10, 11, 36, 37, 44, 45, 79, 80, 89, 90, 98, 99, 100, 129):
        found = function(keras.ops.convert_to_tensor(step, dtype))
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        assert tuple(found.shape) == ()
        assert abs(float(found) - expected[step]) <= 1e-6 * expected.max(), step


@pytest.mark.parametrize("total_steps", [1, 2, 3, 4, 10, 77, 1000, 10**9])
@pytest.mark.parametrize("shape", ["linear", "cosine"])
@pytest.mark.parametrize("peak", [0.3, 1e-3, 7.7])
def test_one_cycle_tensor_is_exact_at_its_ends_and_peak(total_steps, shape, peak):
    """The first rate, the peak, the start of the drop and the last rate are the float32 nearest to the formula."""
    schedule = OneCycle(peak, total_steps, shape=shape, initial_divisor=7.0, final_divisor=13.0)
    steps = sorted({0, total_steps - 1, total_steps, *(int(p.stop) for p in schedule.phases if p.stop < total_steps)})
    expected = np.float32([schedule.value_at(step) for step in steps])
    assert evaluate(schedule, steps).tolist() == expected.tolist()


@pytest.mark.parametrize("schedule", PLAIN, ids=name)
def test_tensor_never_leaves_its_range(schedule):
    """In float32 as well, no value lies outside its phase's ends, and each phase is monotone."""
    found = evaluate(schedule, np.arange(130))
    for phase in schedule.phases:
        inside = found[phase.start : phase.stop + 1]
        low, high = np.float32(sorted((phase.first, phase.last)))
        assert low <= inside.min()
        assert inside.max() <= high
        assert (np.diff(inside) * np.sign(phase.last - phase.first) >= 0).all()


@pytest.mark.parametrize("start_step", [2**24 + 1, 10**9])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_steps_beyond_float32_stay_distinct(schedule, start_step):
    """A cycle that begins where float32 skips integers has the values of one that begins at zero."""
    late = schedule.shifted(start_step + schedule.start_step)
    steps = np.arange(0, 110)
    assert evaluate(late, start_step + steps).tolist() == evaluate(schedule, steps).tolist()
    assert late.value_at(start_step + 7) == schedule.value_at(7)


@pytest.mark.parametrize("schedule", PLAIN, ids=name)
def test_long_cycles_keep_their_slope(schedule):
    """With 10**9 steps the tensor follows the formula at both ends and in the middle."""
    config = {**schedule.get_config(), "total_steps": 10**9}
    long = type(schedule).from_config(config)
    steps = [0, 1, 10**6, 2**24 + 1, 449999999, 450000001, 5 * 10**8, 9 * 10**8 + 1, 10**9 - 2, 10**9 - 1, 10**9]
    expected = [long.value_at(step) for step in steps]
    assert np.abs(evaluate(long, steps) - expected).max() <= 1e-6 * 0.3


def test_cycles_longer_than_an_int32_counter_can_reach():
    """A cycle longer than an int32 counter follows its formula as far as the counter goes."""
    schedule = OneCycle(0.3, 10**10)
    steps = [0, 10**9, 2**31 - 1]
    expected = [schedule.value_at(step) for step in steps]
    assert np.abs(evaluate(schedule, steps) - expected).max() <= 1e-6 * 0.3


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no int64 by default")
@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_int64_steps_beyond_int32_stay_distinct(schedule):
    """An int64 counter beyond 2**31 is never truncated."""
    late = schedule.shifted(2**40 + 1)
    steps = np.arange(-3, 110)
    expected = evaluate(schedule.shifted(3), steps + 3, "int64")
    assert evaluate(late, 2**40 + 1 + steps, "int64").tolist() == expected.tolist()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_arrays_of_any_shape_and_python_integers(schedule):
    """An array of steps returns an array of the same shape; a Python integer returns the exact value."""
    steps = np.arange(12).reshape(3, 4)
    assert np.allclose(evaluate(schedule, steps), schedule.values(12).reshape(3, 4), atol=1e-6)
    assert float(schedule(5)) == np.float32(schedule.value_at(5))
    assert float(schedule(10**12)) == np.float32(schedule.value_at(10**12))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_config_repr_copy_and_pickle_restore_an_equal_schedule(schedule):
    """Config, repr, deep copy and pickle each restore an equal schedule with an equal hash."""
    context = {"OneCycle": OneCycle, "WarmupLinearDecay": WarmupLinearDecay, "WarmupStableDecay": WarmupStableDecay,
               "CyclicalLearningRate": CyclicalLearningRate}  # fmt: skip
    restored = [
        type(schedule).from_config(schedule.get_config()),
        keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule)),
        eval(repr(schedule), context),
        copy.deepcopy(schedule),
        pickle.loads(pickle.dumps(schedule)),
    ]
    assert restored == [schedule] * 5
    assert {hash(other) for other in restored} == {hash(schedule)}
    assert (restored[4].values(50) == schedule.values(50)).all()


def test_config_is_exactly_the_arguments():
    """A config holds the constructor's arguments as plain numbers, and nothing else."""
    schedule = OneCycle(np.float32(0.5), np.int64(10), warmup_fraction=0.25, start_step=np.int32(4))
    assert schedule.get_config() == {
        "max_learning_rate": 0.5, "total_steps": 10, "warmup_fraction": 0.25, "final_fraction": 0.1,
        "initial_divisor": 10.0, "final_divisor": 1000.0, "shape": "linear", "start_step": 4,
    }  # fmt: skip
    assert {type(value) for value in schedule.get_config().values()} == {float, int, str}


def test_different_schedules_differ():
    """Schedules that differ in one argument or in their class are not equal."""
    assert OneCycle(0.3, 100) != OneCycle(0.3, 101)
    assert OneCycle(0.3, 100) != OneCycle(0.3, 100, start_step=1)
    assert OneCycle(0.3, 100) != OneCycle(0.3, 100).momentum()
    assert OneCycle(0.3, 100) != "OneCycle"


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name)
def test_saved_model_keeps_its_schedule(schedule, tmp_path):
    """A compiled model that is saved and loaded has an equal schedule in its optimizer."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(schedule), loss="mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer._learning_rate == schedule


def test_training_follows_the_schedule():
    """With a gradient of -1, each step of SGD moves the weight by the learning rate of that step."""
    schedule = OneCycle(0.5, 6)
    optimizer = keras.optimizers.SGD(schedule)
    weight = keras.Variable(0.0)
    seen = [0.0]
    for _ in range(8):
        optimizer.apply([keras.ops.convert_to_tensor(-1.0)], [weight])
        seen.append(float(keras.ops.convert_to_numpy(weight)))
    assert np.diff(seen) == pytest.approx(schedule.values(8), abs=1e-6)


def test_start_step_shifts_the_whole_curve():
    """Before its start a schedule has its first value, and afterwards the shifted curve; the phases shift with it."""
    plain, late = OneCycle(1000.0, 12), OneCycle(1000.0, 12, start_step=5)
    assert late.values(20).tolist() == [100.0] * 5 + plain.values(15).tolist()
    assert [(p.start, p.stop) for p in late.phases] == [(5, 10), (10, 15), (15, 16)]
    assert plain.shifted(3).shifted(5) == late
    assert plain.momentum().shifted(5) == late.momentum()


def test_warmup_linear_decay_by_hand():
    """If step 3 has the peak, the first step has a quarter of it; the last step has exactly the last rate."""
    found = WarmupLinearDecay(1000.0, 8, warmup_fraction=0.4, final_learning_rate=200.0).values(10)
    assert found == pytest.approx([250, 500, 750, 1000, 800, 600, 400, 200, 200, 200])


def test_warmup_stable_decay_by_hand():
    """A 1-sqrt decay of four steps is at 1 - sqrt(1/4) = 0.5 of the peak after one step and exactly zero after four."""
    found = WarmupStableDecay(1000.0, 10, warmup_fraction=0.1, decay_fraction=0.4).values(11)
    tail = [1000 * (1 - np.sqrt(p)) for p in (0.25, 0.5, 0.75)]
    assert found == pytest.approx([500, 1000, 1000, 1000, 1000, 1000, *tail, 0, 0])


@pytest.mark.parametrize("total_steps", range(2, 60))
@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.1, 0.5, 0.8])
def test_warmups_reach_their_peak_and_end(total_steps, fraction):
    """With at least two steps both warm-up schedules start above zero, reach the peak and end at zero, exactly."""
    for schedule in (
        WarmupLinearDecay(0.3, total_steps, warmup_fraction=fraction),
        WarmupStableDecay(0.3, total_steps, warmup_fraction=fraction),
    ):
        found = schedule.values()
        assert found[0] > 0
        assert found.max() == 0.3
        assert found[-1] == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OneCycle(0.1, 0), "Argument `total_steps` must be >= 1. Received: total_steps=0"),
        (lambda: OneCycle(0.1, 10.0), "Argument `total_steps` must be an integer. Received: total_steps=10.0"),
        (lambda: OneCycle(0.1, True), "Argument `total_steps` must be an integer. Received: total_steps=True"),
        (lambda: OneCycle(0.0, 10), "Argument `max_learning_rate` must be > 0. Received: max_learning_rate=0"),
        (lambda: OneCycle(float("nan"), 10), "must be a finite number. Received: max_learning_rate=nan"),
        (lambda: OneCycle(True, 10), "must be a finite number. Received: max_learning_rate=True"),
        (lambda: OneCycle("0.1", 10), "must be a finite number. Received: max_learning_rate='0.1'"),
        (lambda: OneCycle(0.1, 10, initial_divisor=0.5), "Argument `initial_divisor` must be >= 1."),
        (lambda: OneCycle(0.1, 10, final_divisor=0.5), "Argument `final_divisor` must be >= 1."),
        (lambda: OneCycle(0.1, 10, final_fraction=1.1), "Argument `final_fraction` must be >= 0 and <= 1."),
        (
            lambda: OneCycle(0.1, 10, warmup_fraction=0.95),
            "`warmup_fraction` + `final_fraction` must sum to at most 1.",
        ),
        (lambda: OneCycle(0.1, 10, shape="cos"), "Argument `shape` must be one of ('linear', 'cosine')."),
        (lambda: OneCycle(0.1, 10, start_step=-1), "Argument `start_step` must be >= 0. Received: start_step=-1"),
        (lambda: OneCycle(0.1, 10).values(-1), "Argument `n` must be >= 0."),
        (lambda: OneCycle(0.1, 10).momentum(high=1.0), "Argument `high` must be < 1."),
        (lambda: OneCycle(0.1, 10).momentum(high=0.8, low=0.9), "The pair is written (high, low)."),
        (lambda: OneCycle.pytorch(0.1, 10, pct_start=30), "Argument `pct_start` must be >= 0 and <= 1."),
        (lambda: OneCycle.pytorch(0.1, 10, three_phase=1), "Argument `three_phase` must be True or False."),
        (lambda: OneCycle.optax(10, 0.1, pct_start=0.9), "Argument `pct_start` must be >= 0 and <= 0.85."),
        (lambda: OneCycle.fastai(0.1, 0), "Argument `total_steps` must be >= 1."),
        (lambda: WarmupLinearDecay(0.1, 10, final_learning_rate=0.2), "must be >= 0 and <= 0.1."),
        (lambda: WarmupStableDecay(0.1, 10, decay_fraction=0.95), "must sum to at most 1."),
        (lambda: CyclicalLearningRate(0.2, 0.1, 5), "Argument `base_learning_rate` must be >= 0 and <= 0.1."),
        (lambda: CyclicalLearningRate(0.1, 0.2, 0), "Argument `step_size` must be >= 1."),
        (lambda: CyclicalLearningRate(0.1, 0.2, 5, gamma=1.1), "Argument `gamma` must be > 0 and <= 1."),
        (lambda: OneCycle(0.1, 10)(keras.ops.convert_to_tensor(1.0)), "Argument `step` must be an integer."),
    ],
)
def test_bad_arguments(make, message):
    """An invalid argument is an error that names the argument, the rule and the value received."""
    with pytest.raises(ValueError) as raised:
        make()
    assert message in str(raised.value)
    assert "Received: " in str(raised.value)


def test_schedules_cannot_be_changed():
    """Setting an argument after construction is an error, since it could not reach a compiled step."""
    with pytest.raises(AttributeError, match="Make another"):
        OneCycle(0.1, 10).max_learning_rate = 0.2


def test_warmups_have_the_attributes_of_their_arguments():
    """The two warm-up schedules keep each argument under its own name."""
    linear = {
        "max_learning_rate": 0.3,
        "total_steps": 50,
        "warmup_fraction": 0.2,
        "final_learning_rate": 0.01,
        "start_step": 4,
    }
    stable = {"max_learning_rate": 0.3, "total_steps": 50, "warmup_fraction": 0.2, "decay_fraction": 0.4,
              "decay_shape": "linear", "start_step": 4}  # fmt: skip
    for kind, arguments in ((WarmupLinearDecay, linear), (WarmupStableDecay, stable)):
        schedule = kind(**arguments)
        assert {name: getattr(schedule, name) for name in arguments} == arguments
