"""`OneCycleScheduler`: one cycle in one call of `fit`, whatever the data and the optimizer."""

import warnings

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.cycles import EPOCHS, OPTIMIZERS, STEPS, T, X, Y, apart, compiled, fit, scheduled
from oracles.optimizers import make

from onecycle import OneCycle, OneCycleScheduler


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_cycle_is_that_of_the_schedules_and_of_the_oracle(name):
    """A fit with the callback trains as with the schedules put in by hand, and as a float64 transcription."""
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
    assert apart(model, by_hand) == 0
    assert networks.distance(model.get_weights(), weights) < 1e-5


def test_momentum_is_cycled_and_none_leaves_it_alone():
    """`momentum=None` trains with the optimizer's own momentum; "auto" and another pair end elsewhere."""
    ends = {}
    for momentum in ("auto", (0.9, 0.5), None):
        model = compiled()
        told = fit(model, OneCycleScheduler(0.1, momentum=momentum)).onecycle.momentum
        assert told == ((0.95, 0.85) if momentum == "auto" else momentum)
        ends[momentum] = model.get_weights()
    plain = compiled(keras.optimizers.SGD(OneCycle(0.1, T), momentum=0.9))
    fit(plain)
    assert networks.distance(ends[None], plain.get_weights()) < 1e-6
    assert networks.distance(ends["auto"], ends[None]) > 1e-2
    assert networks.distance(ends["auto"], ends[(0.9, 0.5)]) > 1e-2


class _Pieces(keras.utils.PyDataset):
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


def _endless():
    while True:
        yield X[: networks.BATCH_SIZE], Y[: networks.BATCH_SIZE]


def _tf_data(*, known):
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(networks.BATCH_SIZE)
    return data if known else data.filter(lambda x, y: True)


def _loader():
    data = pytest.importorskip("torch.utils.data")
    torch = pytest.importorskip("torch")
    return data.DataLoader(data.TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=networks.BATCH_SIZE)


LENGTHS = {
    "arrays": lambda: ({}, T),
    "PyDataset": lambda: ({"x": _Pieces(True), "y": None}, T),
    "tf.data": lambda: ({"x": _tf_data(known=True), "y": None}, T),
    "DataLoader": lambda: ({"x": _loader(), "y": None}, T),
    "generator": lambda: ({"x": _endless(), "y": None, "steps_per_epoch": 4}, 4 * EPOCHS),
    "initial_epoch": lambda: ({"initial_epoch": 1}, T - STEPS),
    "validation, short last batch": lambda: ({"x": X[:-3], "y": Y[:-3], "validation_data": (X, Y)}, T),
}


@pytest.mark.parametrize("kind", LENGTHS)
def test_length_is_that_of_the_fit(kind):
    """T is the epochs to come times the steps per epoch, wherever the data's length is known."""
    arguments, length = LENGTHS[kind]()
    report = fit(compiled(), OneCycleScheduler(0.1), **arguments).onecycle
    assert (report.total_steps, report.steps, report.start_step, report.skipped_steps) == (length, length, 0, 0)


UNKNOWN = {
    "generator": _endless,
    "PyDataset": lambda: _Pieces(False),
    "tf.data": lambda: _tf_data(known=False),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_unknown_length_asks_for_total_steps(kind):
    """Data of unknown length is refused before the first step with the remedy, and the remedy works."""
    model, before = compiled(), networks.initial_weights(0)
    with pytest.raises(ValueError, match="total_steps"):
        fit(model, OneCycleScheduler(0.1), x=UNKNOWN[kind](), y=None)
    assert networks.distance(model.get_weights(), before) == 0
    if kind != "tf.data":
        return  # the others have no end
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow tells of the end of the data
        report = fit(model, OneCycleScheduler(0.1, total_steps=7), x=UNKNOWN[kind](), y=None, epochs=2).onecycle
    assert report.total_steps == 7
    assert report.steps >= 2 * STEPS  # TensorFlow counts the end of such data as a step, with or without a cycle


def test_total_steps_holds_the_last_rate():
    """A cycle shorter than the fit ends early, and its last rate and momentum are held."""
    model, by_hand = compiled(), scheduled(compiled(), steps=8)
    fit(model, OneCycleScheduler(0.1, total_steps=8))
    fit(by_hand)
    assert apart(model, by_hand) == 0


@pytest.mark.parametrize("option", ["steps_per_execution", "jit_compile", "run_eagerly"])
def test_compile_options(option, backend):
    """The cycle is exact under `steps_per_execution`, `jit_compile` and `run_eagerly`."""
    if backend == "torch" and option != "run_eagerly":
        pytest.skip("torch makes one step per execution, and torch.compile takes a minute")
    if backend == "jax" and option != "steps_per_execution":
        pytest.skip("jit_compile is the default on JAX, and without it a step takes long")
    model, by_hand = compiled(**{option: 7 if option == "steps_per_execution" else True}), scheduled(compiled())
    assert fit(model, OneCycleScheduler(0.1)).onecycle.steps == T
    fit(by_hand)
    assert apart(model, by_hand) < 1e-5


def test_gradient_accumulation_counts_micro_batches():
    """With gradient accumulation the cycle is as long as the micro-batches, and each update has its own step's rate."""
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
    """Each inner optimizer of a MultiOptimizer follows the cycle in proportion, and gets its own rate back."""
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("MultiOptimizer came with Keras 3.15")
    model, by_hand = compiled(_multi()), compiled(_multi())
    by_hand.optimizer.build(by_hand.trainable_variables)
    scheduled(by_hand)
    assert fit(model, OneCycleScheduler(0.1)).onecycle.steps == T
    fit(by_hand)
    assert apart(model, by_hand) == 0
    rates = [float(keras.ops.convert_to_numpy(inner.learning_rate)) for inner in model.optimizer.optimizers]
    np.testing.assert_allclose(sorted(rates), [0.01, 0.02], rtol=1e-6)


def test_skipped_updates_are_told():
    """Under mixed_float16 History says how many batches loss scaling skipped, by which the cycle lags."""
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
    assert float(keras.ops.convert_to_numpy(inner.learning_rate)) == pytest.approx(0.02)


def _multi():
    slow, fast = (keras.optimizers.SGD(rate, momentum=0.9) for rate in (0.01, 0.02))
    return keras.optimizers.MultiOptimizer(lambda variable: slow if "bias" in variable.path else fast)
