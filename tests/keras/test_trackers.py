"""What experiment trackers log of a training with a cycle: its true parameters, and the rate of the last step."""

import csv
import functools
import json

import keras
import numpy as np
import pytest

import onecycle

pytestmark = pytest.mark.one_backend

STEPS, EPOCHS, T = 4, 2, 8
RATES = onecycle.OneCycle(0.1, T).values()
ENDS = [STEPS - 1, T - 1]


def compiled(**arguments):
    """Return a small compiled model."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", **arguments)
    return model


def data():
    """Return the arrays of four batches of 16."""
    x = np.random.RandomState(0).randn(16 * STEPS, 4).astype("float32")
    return x, x[:, :1]


def fit(model, *callbacks, **arguments):
    """Train two epochs of four steps with a cycle, which is the last of the callbacks."""
    callbacks = [*callbacks, onecycle.OneCycleScheduler(0.1)]
    return model.fit(*data(), batch_size=16, verbose=0, callbacks=callbacks, **{"epochs": EPOCHS, **arguments})


class Reader(keras.callbacks.Callback):
    """Reads the learning rate where trackers do, and the configuration when training begins."""

    def __init__(self):
        super().__init__()
        self.at_batches, self.at_epochs, self.at_end, self.configs = [], [], [], []

    def on_train_begin(self, logs=None):
        self.configs.append(self.model.optimizer.get_config())

    def on_train_batch_end(self, batch, logs=None):
        self.at_batches.append(float(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch, logs=None):
        self.at_epochs.append(float(self.model.optimizer.learning_rate))
        self.configs.append(self.model.optimizer.get_config())

    def on_train_end(self, logs=None):
        self.at_end.append(float(self.model.optimizer.learning_rate))


@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_callbacks_read_the_rate_of_the_last_step(backend, steps_per_execution):
    """In `fit`, `optimizer.learning_rate` is the rate of the step just made, also when training ends."""
    if backend == "torch" and steps_per_execution > 1:
        pytest.skip("Keras has no steps_per_execution on PyTorch")
    reader, model = Reader(), compiled(steps_per_execution=steps_per_execution)
    fit(model, reader)
    assert reader.at_batches == pytest.approx(RATES[steps_per_execution - 1 :: steps_per_execution])
    assert reader.at_epochs == pytest.approx(RATES[ENDS])
    assert reader.at_end == pytest.approx(RATES[-1:])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)


READS = {
    "float": float,
    "numpy": lambda rate: rate.numpy().item(),
    "array": np.array,
    "ops": keras.ops.convert_to_numpy,
    "tensor": lambda rate: keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(rate)),
    "value": lambda rate: keras.ops.convert_to_numpy(rate.value),
    "product": lambda rate: keras.ops.convert_to_numpy(rate * keras.ops.ones(())),
    "format": lambda rate: float(f"{rate:.6g}"),
    "percent": lambda rate: float("%g" % rate),  # noqa: UP031
    "json": lambda rate: json.loads(json.dumps(rate)),
    "round": lambda rate: round(rate, 6),
}


def test_a_rate_under_a_cycle_can_be_read_in_every_way():
    """Every usual way to read the learning rate gives the same number, on every backend."""
    read = {}

    def on_epoch_end(epoch, logs):
        rate = model.optimizer.learning_rate
        read.update({name: (function(rate), rate.shape) for name, function in READS.items()})

    callback, model = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end), compiled()
    callback.on_epoch_end = on_epoch_end
    fit(model, callback, epochs=1)
    expected = onecycle.OneCycle(0.1, STEPS).values()[-1]
    assert {name: float(value) for name, (value, _) in read.items()} == pytest.approx(dict.fromkeys(READS, expected))
    assert {shape for _, shape in read.values()} == {()}


def test_after_a_pruned_trial_the_rate_is_the_variable_again():
    """After an exception in a callback, the learning rate is the optimizer's variable, and can be assigned to."""

    class Pruned(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise ArithmeticError

    model = compiled()
    with pytest.raises(ArithmeticError):
        fit(model, Pruned())
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(0.01)
    model.optimizer.learning_rate.assign(0.25)
    assert model.optimizer.get_config()["learning_rate"] == 0.25


def test_logs_have_rate_and_momentum(tmp_path):
    """`History`, and a `CSVLogger` that comes first, have the last step's rate and momentum of each epoch."""
    history = fit(compiled(), keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))).history
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    written = {name: [float(row[name]) for row in rows] for name in ("learning_rate", "momentum")}
    for logged in (history, written):
        assert logged["learning_rate"] == pytest.approx(RATES[ENDS])
        assert logged["momentum"] == pytest.approx([0.85, 0.95])
    plain = compiled().fit(*data(), epochs=1, verbose=0, callbacks=[onecycle.OneCycleScheduler(0.1, momentum=None)])
    assert sorted(plain.history) == ["learning_rate", "loss"]


def test_tensorboard_has_the_rate_of_the_last_step(tmp_path):
    """TensorBoard's own `epoch_learning_rate` is that of the epoch's last step, and `epoch_momentum` is beside it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    fit(compiled(), keras.callbacks.TensorBoard(str(tmp_path), write_graph=False))
    read = EventAccumulator(str(tmp_path / "train"), size_guidance={"tensors": 0}).Reload()
    values = {
        tag: [float(make_ndarray(event.tensor_proto)) for event in read.Tensors(tag)]
        for tag in ("epoch_learning_rate", "epoch_momentum")
    }
    assert values["epoch_learning_rate"] == pytest.approx(RATES[ENDS])
    assert values["epoch_momentum"] == pytest.approx([0.85, 0.95])


def test_the_configuration_describes_the_cycle_while_training_begins(tmp_path):
    """Trackers read the cycle from `get_config` in `on_train_begin`; later, and for Keras, it is the plain one."""
    reader, model, saved = Reader(), compiled(), []
    plain = model.optimizer.get_config()
    saving = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: saved.append(keras.optimizers.serialize(model.optimizer)["config"])
    )
    report = fit(model, reader, saving).onecycle
    cycle = "OneCycle(max_learning_rate=0.1, total_steps=8)"
    begun, *later = reader.configs
    assert begun == {
        **plain,
        "learning_rate": cycle,
        "momentum": f"{cycle}.momentum(high=0.95, low=0.85)",
        **report.parameters(),
    }
    assert report.parameters() == {
        "schedule": cycle,
        "total_steps": 8,
        "max_learning_rate": 0.1,
        "momentum_high": 0.95,
        "momentum_low": 0.85,
    }
    assert saved == [plain]
    assert later == [plain] * EPOCHS
    assert model.optimizer.get_config() == plain


def test_an_error_while_training_begins_leaves_the_configuration_plain():
    """If another callback refuses the training, the configuration is the plain one."""

    def refuse(logs):
        raise ArithmeticError

    model = compiled()
    plain = model.optimizer.get_config()
    with pytest.raises(ArithmeticError):
        fit(model, keras.callbacks.LambdaCallback(on_train_begin=refuse))
    assert model.optimizer.get_config() == plain


def test_the_rule_is_among_the_parameters():
    """After a range test the parameters name its rule, and have the peak that it found."""
    reader = Reader()
    history = onecycle.fit_one_cycle(compiled(), *data(), epochs=2, callbacks=[reader], seed=0, verbose=0)
    parameters = history.onecycle.parameters()
    assert parameters["rule"] == reader.configs[0]["rule"] == "one_cycle"
    assert parameters["max_learning_rate"] == history.onecycle.range_test.learning_rate
    assert reader.configs[0]["max_learning_rate"] == parameters["max_learning_rate"]


def test_a_logger_like_that_of_mlflow(monkeypatch):
    """An autologger that patches `keras.Model.fit` has one run: that of the training, with its true parameters."""
    original, runs = keras.Model.fit, []

    class Logger(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            runs[-1]["parameters"] = self.model.optimizer.get_config()

        def on_epoch_end(self, epoch, logs=None):
            runs[-1]["metrics"].append(dict(logs))

    @functools.wraps(original)
    def logged(self, *args, **kwargs):
        runs.append({"metrics": []})
        return original(self, *args, **{**kwargs, "callbacks": [*(kwargs.get("callbacks") or []), Logger()]})

    monkeypatch.setattr(keras.Model, "fit", logged)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return STEPS

        def __getitem__(self, index):
            return tuple(array[16 * index : 16 * (index + 1)] for array in data())

    history = onecycle.fit_one_cycle(compiled(), Batches(), epochs=2, seed=0, verbose=0)
    (run,) = runs
    assert run["parameters"]["max_learning_rate"] == history.onecycle.max_learning_rate
    assert run["parameters"]["rule"] == "one_cycle"
    assert [logs["loss"] for logs in run["metrics"]] == history.history["loss"]
    assert [logs["learning_rate"] for logs in run["metrics"]] == history.history["learning_rate"]
