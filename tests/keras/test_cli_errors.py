"""Errors of the user's own code: the command line names their cause, their place and the option `--debug`."""

import sys

import pytest

import onecycle
from onecycle.__main__ import main
from onecycle.cli.error_text import cause, describe_error

pytestmark = pytest.mark.one_backend

CODE = """
import keras
import numpy as np

x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")


def build(loss="mse", units=1):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(units)])
    model.compile(keras.optimizers.SGD(momentum=0.9), loss)
    return model


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 8

    def __getitem__(self, k):
        if k == 3:
            raise KeyError("price")
        return x[:8], x[:8, :1]


class Rows(Batches):
    def __getitem__(self, k):
        return x[k], x[k, :1]


class Broken(keras.layers.Layer):
    def call(self, inputs):
        return {"inputs": inputs}["input"]


class OwnModel(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer, self.broken = keras.layers.Dense(1), Broken()

    def call(self, inputs):
        return self.broken(self.layer(inputs))


def own_model():
    model = OwnModel()
    model.compile("sgd", "mse")
    return model


def own_loss(true, predicted):
    raise ValueError("the loss of the user")


def make(name):
    wide = np.zeros((64, 3), "float32")
    return {
        "unbatched": lambda: (build(), Rows()),
        "generator": lambda: (build(), Batches()),
        "layer": lambda: (own_model(), x, x[:, :1]),
        "loss": lambda: (build(own_loss), x, x[:, :1]),
        "loss name": lambda: (build("mean_sqared_error"), x, x[:, :1]),
        "targets": lambda: (build("mse", 2), x, wide),
        "labels": lambda: (build("sparse_categorical_crossentropy", 3), x, np.arange(64) % 5),
        "function": lambda: {}["units"],
    }[name]


def arms(name):
    model, *data = make(name)()
    train = data[0] if len(data) == 1 else tuple(data)
    return lambda: make(name)()[0], (train, (x, x[:, :1])), {"plain": {"max_learning_rate": 0.01}, "other": {}}
"""
TRACEBACK = "Traceback (most recent call last):"
KERAS = "Exception encountered when calling Dense.call()."
COMMANDS = {
    "find": ["find"],
    "fit": ["fit", "--epochs", "1", "--max-learning-rate", "0.01"],
    "race": ["race", "--epochs", "60"],
    "compare": ["compare", "--epochs", "1", "--seeds", "1"],
}
# What the message has in it, on every backend or on one.
CAUSES = {
    "unbatched": ["(8,", "[8]", "(None,)", "Put single samples in batches."],
    "generator": ["KeyError: 'price'"],
    "layer": ["KeyError: input"],
    "loss": ["the loss of the user (mine.py, line"],
    "loss name": ["Could not interpret loss identifier: mean_sqared_error"],
    "targets": ["must match the size of tensor b", "2 and 3", "3 and 2", "3), (", "2), ("],
    "labels": ["Received a label value of ", "is out of bounds"],
    "function": ["KeyError: 'units' (mine.py, line"],
}  # fmt: skip
# With `race` and `compare` as well: where these have ways of their own to the user's code.
CASES = [(fault, command) for fault in CAUSES for command in ("find", "fit")]
CASES += [(fault, command) for fault in ("unbatched", "generator", "labels") for command in ("race", "compare")]


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """The module with the user's code."""
    folder = tmp_path_factory.mktemp("errors")
    (folder / "mine.py").write_text(CODE)
    sys.path.insert(0, str(folder))
    import mine

    yield mine
    sys.path.remove(str(folder))
    sys.modules.pop("mine", None)


@pytest.mark.filterwarnings("ignore:.*The targets range from 0 to 4:UserWarning")
@pytest.mark.parametrize(("fault", "command"), CASES, ids=lambda value: value)
def test_cause_is_in_the_sentence(module, fault, command, capsys, backend):
    """One line has the cause, without what Keras and TensorFlow put around it, and the hint to `--debug`."""
    if fault == "labels" and backend == "jax":
        pytest.skip("JAX does not check the labels")
    module.chosen = (lambda: module.arms(fault)) if command == "compare" else module.make(fault)
    name, *options = COMMANDS[command]
    assert main([name, "mine:chosen", *options]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("Error: ")
    assert any(text in message for text in CAUSES[fault]), message
    assert message.endswith("use --debug to see the traceback)") or "Put single samples" in message
    for noise in ("Exception encountered", "Graph execution error", "Unable to automatically build", "Traceback ("):
        assert noise not in message


def test_own_errors_need_no_traceback():
    """The errors of onecycle's checks say what to do, so they have no hint."""
    with pytest.raises(ValueError, match="max_learning_rate") as raised:
        onecycle.OneCycle(-1.0, 10)
    assert "--debug" not in describe_error(raised.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError(""), "ValueError: no message"),
        (RuntimeError(f"Caught KeyError in worker 0.\nOriginal {TRACEBACK}\n  a\nKeyError: 'b'"), "KeyError: 'b'"),
        (OSError(2, "No such file", "C:\\new\\data.csv"), "[Errno 2] No such file: 'C:\\\\new\\\\data.csv'"),
        (ValueError(f"{KERAS}\n\n\x1b[1mbad\x1b[0m\n\nArguments received by Dense.call():\n  a"), "bad"),
    ],
)  # fmt: skip
def test_cause_of_a_message(error, expected):
    """The cause is the line that says what is wrong: of a worker's traceback the last, of Keras' frame the middle."""
    assert cause(error) == expected


def test_cause_is_searched_in_the_chain():
    """If a message only says where an error was found, the cause is that of the error it was raised from."""
    error = RuntimeError("Graph execution error:\n")
    error.__cause__ = KeyError("price")
    assert cause(error) == "KeyError: 'price'"
