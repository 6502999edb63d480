"""The tasks of this study: data, model, optimizer and length of a run; `split.py` has the split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import data_generated as generated
import data_images
import data_text
import keras
import nets
import numpy as np
from data import Data
from data_images import images
from data_text import VOCABULARY, next_symbols
from keras import layers
from pretraining import pretrained_weights

WEIGHT_DECAY = 0.1  # of AdamW
OPTIMIZERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.001),
    "adamw": lambda: keras.optimizers.AdamW(0.001, weight_decay=WEIGHT_DECAY),
}
DEFAULT_RATES = {"sgd": 0.01, "adam": 0.001, "adamw": 0.001}  # the defaults of Keras


@dataclass(frozen=True)
class Task:
    """A data set with a model and an optimizer.

    Attributes:
        load: Returns the data.
        net: Returns the model, not compiled.
        optimizer: A key of `OPTIMIZERS`.
        epochs: Number of epochs of a run.
        classes: Number of classes, 0 for regression.
        batch_size: Batch size.
        pretrained: Name of a task of `PRETRAINING` whose weights, without the last layer, are the start; "" for none.
    """

    load: Callable[[], Data]
    net: nets.Net
    optimizer: str
    epochs: int
    classes: int = 10
    batch_size: int = 32
    pretrained: str = ""

    @property
    def error_metric(self) -> str:
        """The metric beside the loss, of which the error is made."""
        return "accuracy" if self.classes else "mae"

    def build(self, seed: int, optimizer: keras.optimizers.Optimizer | None = None) -> keras.Model:
        """Return a new compiled model; by default with the optimizer of the task."""
        keras.utils.set_random_seed(seed)
        model = self.net()
        if self.pretrained:
            fresh = model.layers[-1].get_weights()
            model.set_weights(pretrained_weights(self.pretrained, PRETRAINING[self.pretrained]) + fresh)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if self.classes else "mse"
        model.compile(optimizer or OPTIMIZERS[self.optimizer](), loss, metrics=[self.error_metric])
        return model

    def guessing(self, found: Data, part: str) -> float:
        """Return the loss of a constant on a part of the data: class frequencies, or the mean of the targets."""
        train, held_out = found.train[1], getattr(found, part)[1]
        if not self.classes:
            return float(np.mean(np.square(held_out - train.mean(axis=0, dtype="float64"))))
        counts = np.bincount(train.reshape(-1), minlength=self.classes) + 1.0
        return float(-np.log(counts / counts.sum())[held_out.reshape(-1)].mean())


license_part = partial(next_symbols, data_text.license_text)
causal = partial(nets.attention, 32, VOCABULARY, VOCABULARY, tokens=True, every=True)
fashion_body = nets.residual((28, 28, 1), (12, 24), 5)
text_body = causal(width=32)

# Tasks whose weights fine-tunings start from. They have the same model, and no picker sees them.
PRETRAINING = {
    "fashion": Task(images("fashion-mnist", 10_000, classes=(1, 5, 7, 8, 9)), fashion_body, "sgd", 4, 5),
    "text": Task(next_symbols(data_text.library_text, 14_000, 32), text_body, "adamw", 4, VOCABULARY),
}

ATTENTION = {
    "library-attention": Task(
        next_symbols(data_text.library_text, 14_000, 32), causal(width=48), "adamw", 5, VOCABULARY
    ),
    "license-attention": Task(license_part(1200, 32), causal(width=48), "adamw", 40, VOCABULARY),
    "snippets-attention": Task(
        partial(data_text.snippets, 6000), nets.attention(40, VOCABULARY, 8, tokens=True), "adam", 8, 8
    ),
    "markov-attention": Task(
        partial(generated.markov, 16_000), nets.attention(32, 16, 16, tokens=True, every=True), "adam", 4, 16
    ),
    "cifar-patches": Task(images("cifar10", 4000), nets.attention(32, 3, 10, width=48, patches=8), "adamw", 16),
    "cifar-patches-long": Task(
        images("cifar10", 20_000), nets.attention(32, 3, 10, width=48, patches=8, dropout=0.1), "adamw", 4
    ),
    "fashion-patches-sgd": Task(
        images("fashion-mnist", 5000), nets.attention(28, 1, 10, patches=7), "sgd", 14
    ),
    "columns-attention": Task(partial(generated.columns, 3000), nets.attention(16, 1, 6), "adamw", 22, 6),
    "photo-neighbors-attention": Task(
        partial(data_images.photo_neighbors, 16_000), nets.attention(12, 1, 1, width=24), "adam", 4, 0
    ),
    "counting-attention": Task(
        partial(generated.counting, 5000), nets.attention(24, 6, 6, tokens=True, heads=1), "adam", 14, 6
    ),
    "text-fine-tuning": Task(
        license_part(600, 32), text_body, "adamw", 30, VOCABULARY, pretrained="text"
    ),
}  # fmt: skip
DENSE = {
    "hastie-dense": Task(partial(generated.hastie, 3000), nets.dense(10, (128, 128), 2), "sgd", 30, 2),
    "quantiles-dense": Task(partial(generated.quantiles, 8000), nets.dense(6, (96, 96), 8), "adamw", 12, 8),
    "columns-residual-dense": Task(
        partial(generated.classes_of_40_columns, 10_000), nets.dense(40, (64, 64, 64, 64), 10, residual=True), "sgd", 8
    ),
    "fashion-dense-dropout": Task(
        images("fashion-mnist", 4000, pooled=2, flat=True), nets.dense(196, (128, 128), 10, dropout=0.3), "sgd", 24
    ),
    "fashion-autoencoder": Task(
        partial(data_images.autoencoded, 12_000), nets.dense(196, (96, 6, 96), 196, activation="gelu"), "adam", 10, 0
    ),
    "teacher-dense": Task(partial(generated.teacher, 4000), nets.dense(20, (128, 128), 1), "adamw", 25, 0),
    "terrain-dense": Task(
        partial(data_images.terrain, 10_000), nets.dense(96, (96, 96, 96), 1, activation="silu"), "adam", 10, 0
    ),
    "cifar-dense-bn": Task(
        images("cifar10", 6000, pooled=2, gray=True, flat=True), nets.dense(256, (96, 96), 10, normalized=True),
        "sgd", 12,
    ),
}  # fmt: skip
CONVOLUTIONAL = {
    "cifar-residual": Task(
        images("cifar10", 4000), nets.residual((32, 32, 3), (12, 24, 48), 10), "sgd", 8
    ),
    "cifar-conv-long": Task(images("cifar10", 16_000), nets.convolutional((32, 32, 3), (12, 24, 48), 10), "adam", 4),
    "fashion-conv-noisy-labels": Task(
        images("fashion-mnist", 5000, noisy_labels=0.25), nets.convolutional((28, 28, 1), (12, 24), 10), "adam", 13
    ),
    "fashion-residual": Task(
        images("fashion-mnist", 4000, first=30_000), nets.residual((28, 28, 1), (12, 24), 10), "adamw", 8
    ),
    "photo-denoising": Task(
        partial(data_images.photo_patches, 8000), nets.denoiser((12, 12, 3), 16, 2), "adam", 4, 0
    ),
    "oscillations-residual": Task(
        partial(generated.oscillations, 4000), nets.residual((64, 1), (16, 32), 8), "sgd", 16, 8
    ),
    "fashion-fine-tuning": Task(
        images("fashion-mnist", 1000, classes=(0, 2, 3, 4, 6)), fashion_body, "sgd", 20, 5, pretrained="fashion"
    ),
}  # fmt: skip
RECURRENT = {
    "packages-gru": Task(
        next_symbols(data_text.package_text, 20_000, 20, every=False),
        nets.recurrent(layers.GRU, 20, VOCABULARY, 64, VOCABULARY, embedded=32), "adam", 4, VOCABULARY,
    ),
    "license-gru": Task(
        license_part(4000, 20, every=False),
        nets.recurrent(layers.GRU, 20, VOCABULARY, 64, VOCABULARY, embedded=32), "adamw", 12, VOCABULARY,
    ),
    "lorenz-lstm": Task(
        partial(generated.lorenz, 10_000), nets.recurrent(layers.LSTM, 24, 1, 56, 1), "adamw", 8, 0
    ),
    "fashion-rows-lstm": Task(
        lambda: rows_of(images("fashion-mnist", 6000)()), nets.recurrent(layers.LSTM, 28, 28, 40, 10), "sgd", 12
    ),
}  # fmt: skip
# Added after the admission of the first tuning tasks: few rows and many epochs, so that overfitting limits the rate.
ADDED = {
    "fashion-dense-few": Task(
        images("fashion-mnist", 2000, first=40_000, pooled=2, flat=True, noisy_labels=0.3),
        nets.dense(196, (128, 128), 10), "adam", 40,
    ),
    "classes-few": Task(partial(generated.classes_of_24_columns, 2000), nets.dense(24, (128, 128), 6), "adamw", 40, 6),
    "teacher-few": Task(
        partial(generated.teacher, 2000, noise=0.7, seed=52), nets.dense(20, (128, 128), 1), "adam", 40, 0
    ),
    "cifar-dense-few": Task(
        images("cifar10", 3000, first=30_000, pooled=2, gray=True, flat=True), nets.dense(256, (96, 96), 10),
        "adamw", 24,
    ),
    "columns-attention-few": Task(
        partial(generated.more_columns, 2000), nets.attention(16, 1, 6), "adam", 40, 6
    ),
    "fashion-rows-gru-few": Task(
        lambda: rows_of(images("fashion-mnist", 2000, first=45_000, noisy_labels=0.2)()),
        nets.recurrent(layers.GRU, 28, 28, 40, 10), "adam", 32,
    ),
    "cifar-colors-few": Task(
        images("cifar10", 3000, first=35_000, pooled=4, flat=True), nets.dense(192, (128, 64), 10), "sgd", 27
    ),
    "clusters-few": Task(partial(generated.clusters, 2000), nets.dense(20, (128, 128), 8), "adam", 40, 8),
    "oscillations-dense-few": Task(
        lambda: flattened(generated.oscillations(3000)), nets.dense(64, (128, 64), 8), "adamw", 27, 8
    ),
    "photo-neighbors-dense-few": Task(
        lambda: flattened(data_images.photo_neighbors(1500)), nets.dense(12, (128, 128), 1), "adamw", 50, 0
    ),
    "fashion-columns-lstm-few": Task(
        lambda: rows_of(images("fashion-mnist", 2000, first=50_000, noisy_labels=0.25)(), turned=True),
        nets.recurrent(layers.LSTM, 28, 28, 40, 10), "adamw", 32,
    ),
    "fashion-patches-few": Task(
        images("fashion-mnist", 2000, first=52_000, noisy_labels=0.2), nets.attention(28, 1, 10, patches=7), "adam", 36
    ),
}  # fmt: skip
TASKS = ATTENTION | DENSE | CONVOLUTIONAL | RECURRENT | ADDED


def flattened(found: Data) -> Data:
    """Return inputs as one row of numbers each."""
    return Data(*((x.reshape(len(x), -1), y) for x, y in found))


def rows_of(found: Data, *, turned: bool = False) -> Data:
    """Return gray images as sequences of their rows, or of their columns."""
    return Data(*((x[..., 0].transpose(0, 2, 1) if turned else x[..., 0], y) for x, y in found))


@cache
def data_of(name: str) -> Data:
    """Return the data of a task, loaded once."""
    return TASKS[name].load()
