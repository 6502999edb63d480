"""The fine-tuning tasks: nets that are trained here on one data set, and a small data set to go on with."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

import onecycle
from onecycle.engine import Member, train_members
from onecycle.tasks import load_task

Arrays = tuple[np.ndarray, np.ndarray]
Net = Callable[[int], keras.Model]
SYMBOLS = "\n abcdefghijklmnopqrstuvwxyz0123456789.,:;()[]{}'\"_-=+*/#<>@&%!"
LENGTH = 32  # symbols of a window of text


@dataclass(frozen=True)
class FineTuning:
    """A fine-tuning task.

    Attributes:
        source: Function that returns the data of the first training.
        target: Function that returns ((x, y), (x, y)): the few rows to go on with, and those that judge.
        net: Function of the number of outputs that returns a network whose last layer is its head.
        optimizer: "sgd" (momentum 0.9), "adam" or "adamw".
        epochs: Epochs of a run on the target.
        new_head: Whether the target has other classes, so that the head is new and is trained alone first.
        batch_size: Rows of a step.
    """

    source: Callable[[], Arrays]
    target: Callable[[], tuple[Arrays, Arrays]]
    net: Net
    optimizer: str
    epochs: int
    new_head: bool
    batch_size: int = 32


SOURCE_PEAKS = {"sgd": 0.1, "adam": 0.003, "adamw": 0.003}
SOURCE_EPOCHS, SOURCE_BATCH = 5, 64


def compiled(model: keras.Model, optimizer: str) -> keras.Model:
    """Compile a classifier whose outputs are logits."""
    made = {
        "sgd": partial(keras.optimizers.SGD, 0.01, momentum=0.9),
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
    }[optimizer]()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=made, loss=loss, metrics=["accuracy"])
    return model


def source_model(task: FineTuning) -> keras.Model:
    """Return a new model for the source."""
    return compiled(task.net(int(task.source()[1].max()) + 1), task.optimizer)


def pretrain(model: keras.Model, task: FineTuning, seed: int) -> None:
    """Give the model of a source new weights and train them with one cycle."""
    keras.utils.set_random_seed(1000 + seed)
    x, y = task.source()
    model.set_weights(source_model(task).get_weights())
    steps = SOURCE_EPOCHS * -(-len(x) // SOURCE_BATCH)
    cycle = onecycle.OneCycle(SOURCE_PEAKS[task.optimizer], steps)
    runs = train_members(
        model, x, y, epochs=SOURCE_EPOCHS, batch_size=SOURCE_BATCH, weights=True, engine="scan",
        members=[Member(cycle, cycle.momentum(), seed=seed)],
    )  # fmt: skip
    model.set_weights(runs.weights[0])


def target_model(model: keras.Model, task: FineTuning) -> keras.Model:
    """Return a model with the layers of another, and a new head where the classes are others."""
    if task.new_head:
        head = layers.Dense(int(task.target()[0][1].max()) + 1, name="new_head")
        model = keras.Model(model.inputs[0], head(model.layers[-2].output))
    return compiled(model, task.optimizer)


def cnn(classes: int, *, shape: tuple[int, ...], filters: tuple[int, ...]) -> keras.Model:
    """Return convolutions with batch normalization, a dense layer and a head."""
    start = x = keras.Input(shape)
    for depth in filters:
        x = layers.BatchNormalization()(pooled(convolved(x, depth)))
        x = layers.Activation("relu")(x)
    x = layers.Dense(48, "relu")(layers.Flatten()(x))
    return keras.Model(start, layers.Dense(classes)(x))


def convolved(x: Any, depth: int) -> Any:
    """Return a 3 × 3 convolution as a dense layer of shifted copies, which is fast in a loop that JAX compiles."""
    height, width = x.shape[1:3]
    x = layers.ZeroPadding2D(1)(x)
    cuts = [x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return layers.Dense(depth, use_bias=False, kernel_initializer="he_normal")(layers.Concatenate()(cuts))


def pooled(x: Any) -> Any:
    """Return the means of 2 × 2 neighbors."""
    _, height, width, depth = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return keras.ops.mean(layers.Reshape((height // 2, 2, width // 2, 2, depth))(x), axis=(2, 4))


def mlp(classes: int, *, columns: int, units: int = 64) -> keras.Model:
    """Return two dense layers and a head."""
    start = keras.Input((columns,))
    x = layers.Dense(units, "relu")(layers.Dense(units, "relu")(start))
    return keras.Model(start, layers.Dense(classes)(x))


def transformer(symbols: int, *, width: int = 24, blocks: int = 1) -> keras.Model:
    """Return a causal transformer that predicts the next symbol at each position."""
    start = keras.Input((LENGTH,), dtype="int32")
    x = layers.Embedding(symbols, width)(start) + layers.Embedding(LENGTH, width)(np.arange(LENGTH)[None])
    for _ in range(blocks):
        normal = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(2, width // 2)(normal, normal, use_causal_mask=True)
        x = x + layers.Dense(width)(layers.Dense(2 * width, "gelu")(layers.LayerNormalization()(x)))
    return keras.Model(start, layers.Dense(symbols)(layers.LayerNormalization()(x)))


@cache
def images(name: str) -> tuple[Arrays, Arrays]:
    """Return a data set of images at half their resolution, with float32 values."""
    train, test = load_task(name).data
    return tuple((halved(x[:30000]), y[:30000].astype("int32")) for x, y in (train, test))


def halved(x: np.ndarray) -> np.ndarray:
    """Return the means of 2 × 2 pixels."""
    n, height, width, depth = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, depth).mean((2, 4)).astype("float32")


@cache
def digits(*, wide: bool = False) -> tuple[Arrays, Arrays]:
    """Return the digits of scikit-learn as rows, or as images of 14 × 14 pixels, the size of halved Fashion-MNIST."""
    (x, y), (x_test, y_test) = load_task("digits").data
    x, y = np.concatenate([x, x_test]), np.concatenate([y, y_test]).astype("int32")
    x = x[:, np.arange(14) * 8 // 14][:, :, np.arange(14) * 8 // 14] if wide else x.reshape(len(x), -1)
    return (x[:1000], y[:1000]), (x[1000:], y[1000:])


def only(data: Arrays, classes: tuple[int, ...], rows: int | None = None) -> Arrays:
    """Return the first rows of some classes, which are counted from 0."""
    x, y = data
    kept = np.flatnonzero(np.isin(y, classes))[:rows]
    return x[kept], np.searchsorted(sorted(classes), y[kept]).astype("int32")


LOW, HIGH = tuple(range(5)), tuple(range(5, 10))
ANIMALS, OTHERS = (2, 3, 4, 5, 6), (0, 1, 7, 8, 9)  # of CIFAR-10; a horse is among the others


def classes_of(name: str, classes: tuple[int, ...], rows: int, test_rows: int = 2000) -> tuple[Arrays, Arrays]:
    """Return a few rows of some classes, and rows that judge."""
    train, test = images(name)
    return only(train, classes, rows), only(test, classes, test_rows)


def turned(name: str, rows: int) -> tuple[Arrays, Arrays]:
    """Return images turned by a quarter, with the classes that they had."""
    (x, y), (x_test, y_test) = images(name)
    return (np.rot90(x[-rows:], axes=(1, 2)).copy(), y[-rows:]), (
        np.rot90(x_test[:2000], axes=(1, 2)).copy(),
        y_test[:2000],
    )


def noisy(name: str, rows: int) -> tuple[Arrays, Arrays]:
    """Return images with noise of the size of their pixels' standard deviation."""
    random, ((x, y), (x_test, y_test)) = np.random.RandomState(5), images(name)
    x, y, x_test, y_test = x[-rows:], y[-rows:], x_test[:2000], y_test[:2000]
    blurred = (values + random.normal(size=values.shape).astype("float32") for values in (x, x_test))
    return (next(blurred), y), (next(blurred), y_test)


def more_of(name: str, rows: int) -> tuple[Arrays, Arrays]:
    """Return rows that the source lacks, of the same distribution."""
    (x, y), (x_test, y_test) = images(name)
    return (x[-rows:], y[-rows:]), (x_test[:2000], y_test[:2000])


def first_of(name: str, rows: int) -> Arrays:
    """Return the first rows of a data set of images."""
    (x, y), _ = images(name)
    return x[:rows], y[:rows]


def more_digits() -> tuple[Arrays, tuple[Arrays, Arrays]]:
    """Return 600 digits as the source, and 400 others with those that judge as the target."""
    (x, y), test = digits()
    return (x[:600], y[:600]), ((x[600:], y[600:]), test)


@cache
def code_text() -> str:
    """Return Python source of the standard library."""
    folder = Path(sysconfig.get_path("stdlib")) / "email"
    return "".join(path.read_text("utf-8", errors="ignore") for path in sorted(folder.rglob("*.py")))[:150_000]


@cache
def prose_text() -> str:
    """Return the license texts that packages ship."""
    found = ""
    for package in ("jaxlib", "numpy", "scipy", "matplotlib", "scikit-learn", "tensorflow-cpu"):
        files = [file for file in metadata.files(package) or [] if "LICENSE" in file.name.upper()]
        for path in sorted(Path(str(file.locate())) for file in files):
            found += path.read_text("utf-8", errors="ignore") if path.is_file() else ""
    return found[:150_000]


def windows(text: str) -> Arrays:
    """Return windows of a text in random order, and the next symbol at each position."""
    table = np.zeros(256, "int32")
    for number, symbol in enumerate(SYMBOLS, start=1):
        table[ord(symbol)] = table[ord(symbol.upper())] = number
    codes = table[np.frombuffer(text.encode("latin-1", "replace"), "uint8")]
    rows = codes[: len(codes) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)
    rows = rows[np.random.RandomState(21).permutation(len(rows))]
    return rows[:, :-1], rows[:, 1:]


def text_target(text: Callable[[], str], rows: int) -> tuple[Arrays, Arrays]:
    """Return a few windows of a text, and windows that judge."""
    x, y = (part[-rows - 800 :] for part in windows(text()))
    return (x[:rows], y[:rows]), (x[rows:], y[rows:])


FASHION = partial(cnn, shape=(14, 14, 1), filters=(8, 16))
CIFAR = partial(cnn, shape=(16, 16, 3), filters=(12, 24))

TASKS = {
    # The target resembles the source, so that the loss starts near its floor.
    "cifar-more-adam": FineTuning(
        lambda: first_of("cifar10", 10000), lambda: more_of("cifar10", 2000),
        CIFAR, "adam", 5, new_head=False,
    ),
    "fashion-more-sgd": FineTuning(
        lambda: first_of("fashion-mnist", 10000), lambda: more_of("fashion-mnist", 1000),
        FASHION, "sgd", 5, new_head=False,
    ),
    "code-more-adamw": FineTuning(
        lambda: tuple(part[:3000] for part in windows(code_text())), lambda: text_target(code_text, 600),
        transformer, "adamw", 5, new_head=False,
    ),
    "fashion-more-adam": FineTuning(
        lambda: first_of("fashion-mnist", 8000), lambda: more_of("fashion-mnist", 1500),
        FASHION, "adam", 5, new_head=False,
    ),
    "cifar-more-sgd": FineTuning(
        lambda: first_of("cifar10", 8000), lambda: more_of("cifar10", 1500),
        CIFAR, "sgd", 5, new_head=False,
    ),
    "prose-more-adamw": FineTuning(
        lambda: tuple(part[:3000] for part in windows(prose_text())), lambda: text_target(prose_text, 600),
        transformer, "adamw", 5, new_head=False,
    ),
    "digits-more-sgd": FineTuning(
        lambda: more_digits()[0], lambda: more_digits()[1],
        partial(mlp, columns=64), "sgd", 10, new_head=False,
    ),
    "digits-more-adam": FineTuning(
        lambda: more_digits()[0], lambda: more_digits()[1],
        partial(mlp, columns=64), "adam", 10, new_head=False,
    ),
    # The target differs from the source: other classes under a new head, or changed inputs.
    "digits-classes-sgd": FineTuning(
        lambda: only(digits()[0], LOW), lambda: tuple(only(part, HIGH, 500) for part in digits()),
        partial(mlp, columns=64), "sgd", 10, new_head=True,
    ),
    "fashion-classes-adam": FineTuning(
        lambda: only(images("fashion-mnist")[0], LOW), lambda: classes_of("fashion-mnist", HIGH, 1000),
        FASHION, "adam", 5, new_head=True,
    ),
    "fashion-turned-sgd": FineTuning(
        lambda: first_of("fashion-mnist", 10000), lambda: turned("fashion-mnist", 1000),
        FASHION, "sgd", 5, new_head=False,
    ),
    "fashion-digits-adam": FineTuning(
        lambda: first_of("fashion-mnist", 10000), lambda: digits(wide=True),
        FASHION, "adam", 5, new_head=True,
    ),
    "prose-code-adamw": FineTuning(
        lambda: tuple(part[:3000] for part in windows(prose_text())), lambda: text_target(code_text, 600),
        transformer, "adamw", 5, new_head=False,
    ),
    "cifar-noisy-adam": FineTuning(
        lambda: first_of("cifar10", 10000), lambda: noisy("cifar10", 2000),
        CIFAR, "adam", 5, new_head=False,
    ),
    "cifar-classes-sgd": FineTuning(
        lambda: only(images("cifar10")[0], ANIMALS), lambda: classes_of("cifar10", OTHERS, 2000),
        CIFAR, "sgd", 5, new_head=True,
    ),
}  # fmt: skip
