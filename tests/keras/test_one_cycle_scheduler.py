"""Tests of `OneCycleScheduler`, which runs one cycle in a call of `fit`, with all kinds of data and optimizers."""

import warnings

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.cycles import EPOCHS, OPTIMIZERS, STEPS, T, X, Y, compiled, fit, scheduled, weight_distance
from oracles.optimizers import make

from onecycle import OneCycle, OneCycleScheduler, find_learning_rate, unschedule_hyperparameters
from onecycle.keras_support.optimizers import raw_step


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_cycle_equals_schedules_and_float64_transcription(name):
    """Training with the callback equals training with the schedules, and agrees with a float64 transcription."""
    peak = 10 * OPTIMIZERS[name]["learning_rate"]
    model, by_hand = compiled(name), scheduled(compiled(name), peak)
    fit(model, OneCycleScheduler(peak))
    fit(by_hand)
    cycle = OneCycle(peak, T)
    rates, momenta = cycle.values(), cycle.momentum().values()
    weights, _ = networks.train(
        make(name, **OPTIMIZERS[name]),
        networks.initial_weights(0),
        networks.batches(1, STEPS) * EPOCHS,
        learning_rate=lambda step: rates[step],
        momentum=lambda step: momenta[step],
    )
    assert weight_distance(model, by_hand) == 0
    assert networks.distance(model.get_weights(), weights) < 1e-5


@pytest.mark.one_backend
def test_momentum_none_keeps_that_of_the_optimizer():
    """With `momentum=None` the optimizer's momentum is used; "auto" and another pair give other weights."""
    final_weights = {}
    for momentum in ("auto", (0.9, 0.5), None):
        model = compiled()
        reported = fit(model, OneCycleScheduler(0.1, momentum=momentum)).onecycle.momentum
        assert reported == ((0.95, 0.85) if momentum == "auto" else momentum)
        final_weights[momentum] = model.get_weights()
    plain = compiled(keras.optimizers.SGD(OneCycle(0.1, T), momentum=0.9))
    fit(plain)
    assert networks.distance(final_weights[None], plain.get_weights()) < 1e-6
    assert networks.distance(final_weights["auto"], final_weights[None]) > 1e-2
    assert networks.distance(final_weights["auto"], final_weights[(0.9, 0.5)]) > 1e-2


class IndexedBatches(keras.utils.PyDataset):
    """The batches as a `PyDataset` of known or unknown length."""

    def __init__(self, known):
        super().__init__()
        self._known = known

    @property
    def num_batches(self):
        return STEPS if self._known else None

    def __getitem__(self, index):
        if index >= STEPS:
            raise IndexError
        rows = slice(index * networks.BATCH_SIZE, (index + 1) * networks.BATCH_SIZE)
        return X[rows], Y[rows]


def endless_batches():
    """Yield the first batch without end."""
    while True:
        yield X[: networks.BATCH_SIZE], Y[: networks.BATCH_SIZE]


def tf_dataset(*, known, x=X):
    """Return the batches as a `tf.data.Dataset` of known or unknown length."""
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((x, Y)).batch(networks.BATCH_SIZE)
    return data if known else data.filter(lambda x, y: True)


def torch_loader():
    """Return the batches as a PyTorch `DataLoader`."""
    data = pytest.importorskip("torch.utils.data")
    torch = pytest.importorskip("torch")
    return data.DataLoader(data.TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=networks.BATCH_SIZE)


LENGTHS = {
    "arrays": lambda: ({}, T),
    "PyDataset": lambda: ({"x": IndexedBatches(True), "y": None}, T),
    "tf.data": lambda: ({"x": tf_dataset(known=True), "y": None}, T),
    "DataLoader": lambda: ({"x": torch_loader(), "y": None}, T),
    "generator": lambda: ({"x": endless_batches(), "y": None, "steps_per_epoch": 4}, 4 * EPOCHS),
    "validation, short last batch": lambda: ({"x": X[:-3], "y": Y[:-3], "validation_data": (X, Y)}, T),
}


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", LENGTHS)
def test_cycle_is_as_long_as_the_fit(kind):
    """If the length of the data is known, the cycle has the epochs times the steps per epoch."""
    arguments, length = LENGTHS[kind]()
    report = fit(compiled(), OneCycleScheduler(0.1), **arguments).onecycle
    assert (report.total_steps, report.steps, report.start_step, report.skipped_steps) == (length, length, 0, 0)


UNKNOWN = {
    "generator": endless_batches,
    "PyDataset": lambda: IndexedBatches(False),
    "tf.data": lambda: tf_dataset(known=False),
}


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", UNKNOWN)
def test_unknown_length_needs_total_steps(kind):
    """Data of unknown length is refused before the first step unless `total_steps` is given."""
    model, before = compiled(), networks.initial_weights(0)
    with pytest.raises(ValueError, match="total_steps"):
        fit(model, OneCycleScheduler(0.1), x=UNKNOWN[kind](), y=None)
    assert networks.distance(model.get_weights(), before) == 0


@pytest.mark.parametrize("steps_per_execution", [1, 3])
@pytest.mark.parametrize("scheduled_by", ["callback", "hand"])
def test_end_of_data_of_unknown_length_is_no_step(steps_per_execution, scheduled_by, backend):
    """With data of unknown length only batches count as steps, and the cycle is that of the same arrays."""
    if backend == "torch" and steps_per_execution > 1:
        pytest.skip("PyTorch allows one step per execution")
    model, by_hand = compiled(steps_per_execution=steps_per_execution), scheduled(compiled())
    callbacks = [OneCycleScheduler(0.1, total_steps=T)] if scheduled_by == "callback" else []
    if not callbacks:
        scheduled(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns at the end of the data
        history = fit(model, *callbacks, x=tf_dataset(known=False), y=None)
    fit(by_hand)
    assert raw_step(model.optimizer) == T
    assert weight_distance(model, by_hand) < 1e-6
    if callbacks:
        assert (history.onecycle.steps, history.onecycle.total_steps) == (T, T)


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="new in Keras 3.15")
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("scheduled_by", ["callback", "hand", "loss scaling"])
def test_end_of_data_is_no_step_of_several_optimizers(scheduled_by):
    """With data of unknown length, a `MultiOptimizer` and the optimizers inside it count the same steps."""
    inner = keras.optimizers.SGD(0.02, momentum=0.9), keras.optimizers.SGD(0.01, momentum=0.9)
    multi = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(inner[0], {".*bias": inner[1]}))
    optimizer = keras.optimizers.LossScaleOptimizer(multi, initial_scale=2.0) if "loss" in scheduled_by else multi
    model = compiled(optimizer)
    if scheduled_by == "hand":
        scheduled(model)  # before it is built
    fit(model, *[OneCycleScheduler(0.1, total_steps=T)] * (scheduled_by != "hand"), x=tf_dataset(known=False), y=None)
    assert [raw_step(one) for one in (optimizer, multi, *inner)] == [T] * 4
    assert ("apply" in vars(multi)) == (scheduled_by == "hand")
    unschedule_hyperparameters(model)
    assert "apply" not in vars(multi)
    result = find_learning_rate(model, tf_dataset(known=False), num_steps=12, verbose=0)  # reads the data again
    assert len(result.losses) == 12
    assert raw_step(multi) == T


@pytest.mark.one_backend
def test_last_values_are_kept_after_the_cycle():
    """After a cycle shorter than the fit, the last learning rate and momentum are kept."""
    model, by_hand = compiled(), scheduled(compiled(), steps=8)
    fit(model, OneCycleScheduler(0.1, total_steps=8))
    fit(by_hand)
    assert weight_distance(model, by_hand) == 0


@pytest.mark.parametrize("option", ["steps_per_execution", "jit_compile", "run_eagerly"])
def test_compile_options(option, backend):
    """The cycle is exact with `steps_per_execution`, `jit_compile` and `run_eagerly`."""
    if backend == "torch" and option != "run_eagerly":
        pytest.skip("PyTorch allows one step per execution, and torch.compile is slow")
    if backend == "jax" and option != "steps_per_execution":
        pytest.skip("jit_compile is the default on JAX, and eager steps are slow")
    model, by_hand = compiled(**{option: 7 if option == "steps_per_execution" else True}), scheduled(compiled())
    assert fit(model, OneCycleScheduler(0.1)).onecycle.steps == T
    fit(by_hand)
    assert weight_distance(model, by_hand) < 1e-5


def test_gradient_accumulation_counts_micro_batches():
    """With gradient accumulation the cycle counts micro-batches, and each update uses the values of its own step."""
    settings = {"learning_rate": 0.02, "momentum": 0.9, "gradient_accumulation_steps": 3}
    model = compiled(keras.optimizers.SGD(**settings))
    fit(model, OneCycleScheduler(0.1))
    rates, momenta = OneCycle(0.1, T).values(), OneCycle(0.1, T).momentum().values()
    weights, _ = networks.train(
        make("SGD", **settings),
        networks.initial_weights(0),
        networks.batches(1, STEPS) * EPOCHS,
        learning_rate=lambda step: rates[step],
        momentum=lambda step: momenta[step],
    )
    assert networks.distance(model.get_weights(), weights) < 1e-5


def test_multi_optimizer():
    """The inner optimizers of a `MultiOptimizer` follow the cycle in proportion and get their own rates back."""
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("MultiOptimizer was added in Keras 3.15")
    model, by_hand = compiled(multi_optimizer()), compiled(multi_optimizer())
    by_hand.optimizer.build(by_hand.trainable_variables)
    scheduled(by_hand)
    assert fit(model, OneCycleScheduler(0.1)).onecycle.steps == T
    fit(by_hand)
    assert weight_distance(model, by_hand) == 0
    rates = [float(keras.ops.convert_to_numpy(inner.learning_rate)) for inner in model.optimizer.optimizers]
    np.testing.assert_allclose(sorted(rates), [0.01, 0.02], rtol=1e-6)


def test_skipped_updates_are_reported():
    """With mixed_float16 the report has the number of updates that loss scaling skipped, by which the cycle lags."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        inner = keras.optimizers.SGD(0.02, momentum=0.9)
        model = compiled(keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0))
    finally:
        keras.config.set_dtype_policy("float32")
    x = X.copy()
    x[networks.BATCH_SIZE] = np.inf  # the second batch of each epoch
    report = fit(model, OneCycleScheduler(0.1), x=x).onecycle
    assert (report.skipped_steps, report.steps, report.total_steps) == (EPOCHS, T - EPOCHS, T)
    assert "3 skipped" in report.summary()
    assert fit(model, OneCycleScheduler(0.1)).onecycle.skipped_steps == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns at the end of data of unknown length
        report = fit(model, OneCycleScheduler(0.1, total_steps=T), x=tf_dataset(known=False, x=x), y=None).onecycle
    assert (report.skipped_steps, report.steps) == (EPOCHS, T - EPOCHS)
    assert float(keras.ops.convert_to_numpy(inner.learning_rate)) == pytest.approx(0.02)


def multi_optimizer():
    """Return a `MultiOptimizer` with a slower inner optimizer for the biases."""
    slow, fast = (keras.optimizers.SGD(rate, momentum=0.9) for rate in (0.01, 0.02))
    return keras.optimizers.MultiOptimizer(lambda variable: slow if "bias" in variable.path else fast)
