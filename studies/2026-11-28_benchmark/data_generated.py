"""Generated data, each with its own seed; noise keeps the losses clear of 0."""

from __future__ import annotations

import numpy as np
import sklearn.datasets as made_data
from data import HELD_OUT, Data, parts


def markov(rows: int, length: int = 32, symbols: int = 16) -> Data:
    """Return sequences of a source whose next symbol depends on the last two; the targets are the next symbols."""
    rng = np.random.RandomState(31)
    chances = rng.dirichlet(np.full(symbols, 0.25), size=(symbols, symbols)).cumsum(axis=-1)
    found = rng.randint(symbols, size=(rows + HELD_OUT, length + 1))
    for k in range(2, length + 1):
        draw = rng.uniform(size=(len(found), 1))
        found[:, k] = np.minimum((chances[found[:, k - 2], found[:, k - 1]] < draw).sum(axis=1), symbols - 1)
    return parts(found[:, :-1].astype("int32"), found[:, 1:], rows)


def counting(rows: int, length: int = 24, symbols: int = 6, noise: float = 0.1) -> Data:
    """Return sequences of symbols; the target is the most frequent one, with noise."""
    rng = np.random.RandomState(32)
    x = rng.randint(symbols, size=(rows + HELD_OUT, length))
    y = (x[..., None] == np.arange(symbols)).sum(axis=1).argmax(axis=1)
    return parts(x.astype("int32"), randomized(y, symbols, noise, rng), rows)


def columns(rows: int) -> Data:
    """Return 16 columns as tokens of one number each, 6 classes, of which 5 % are wrong."""
    x, y = made_data.make_classification(
        rows + HELD_OUT, 16, n_informative=8, n_redundant=4, n_classes=6, flip_y=0.05,
        class_sep=1.2, random_state=33,
    )  # fmt: skip
    return parts((x / x.std(axis=0))[..., None], y, rows)


def classes_of_40_columns(rows: int) -> Data:
    """Return 40 columns and 10 classes of two clouds each, of which 10 % are wrong."""
    x, y = made_data.make_classification(
        rows + HELD_OUT, 40, n_informative=16, n_redundant=8, n_classes=10, n_clusters_per_class=2,
        flip_y=0.1, random_state=34,
    )  # fmt: skip
    return parts(x / x.std(axis=0), y, rows)


def classes_of_24_columns(rows: int) -> Data:
    """Return 24 columns and 6 classes, of which 10 % are wrong."""
    x, y = made_data.make_classification(
        rows + HELD_OUT, 24, n_informative=12, n_redundant=0, n_classes=6, flip_y=0.1, random_state=51
    )
    return parts(x / x.std(axis=0), y, rows)


def more_columns(rows: int) -> Data:
    """Return 16 columns as tokens of one number each, 6 classes, of which 5 % are wrong, all other than `columns`."""
    x, y = made_data.make_classification(
        rows + HELD_OUT, 16, n_informative=10, n_redundant=0, n_classes=6, flip_y=0.05, random_state=54
    )
    return parts((x / x.std(axis=0))[..., None], y, rows)


def clusters(rows: int) -> Data:
    """Return 20 columns and 8 classes of two clouds each, of which 5 % are wrong."""
    x, y = made_data.make_classification(
        rows + HELD_OUT, 20, n_informative=10, n_redundant=0, n_classes=8, n_clusters_per_class=2,
        flip_y=0.05, class_sep=1.5, random_state=62,
    )  # fmt: skip
    return parts(x / x.std(axis=0), y, rows)


def hastie(rows: int, noise: float = 0.1) -> Data:
    """Return ten normal columns; the class is whether the sum of their squares is large, with noise."""
    x, y = made_data.make_hastie_10_2(rows + HELD_OUT, random_state=35)
    return parts(x, randomized((y > 0).astype(int), 2, noise, np.random.RandomState(36)), rows)


def quantiles(rows: int, noise: float = 0.1) -> Data:
    """Return six columns; the class is one of eight shells around the mean, with noise."""
    x, y = made_data.make_gaussian_quantiles(n_samples=rows + HELD_OUT, n_features=6, n_classes=8, random_state=37)
    return parts(x, randomized(y, 8, noise, np.random.RandomState(38)), rows)


def teacher(rows: int, noise: float = 0.4, seed: int = 39) -> Data:
    """Return 20 normal columns; the target is the output of a random network of 12 units, with noise."""
    rng = np.random.RandomState(seed)
    x = rng.normal(size=(rows + HELD_OUT, 20))
    y = np.maximum(x @ rng.normal(size=(20, 12)) + rng.normal(size=12), 0) @ rng.normal(size=(12, 1))
    return parts(x, (y - y.mean()) / y.std() + noise * rng.normal(size=y.shape), rows)


def oscillations(rows: int, length: int = 64, kinds: int = 8) -> Data:
    """Return noise through one of eight resonant filters; the target is the filter."""
    rng = np.random.RandomState(40)
    total = rows + HELD_OUT
    y = rng.randint(kinds, size=total)
    radius, angle = 0.75 + 0.15 * (y % 2), 0.4 + 0.5 * (y // 2)
    x = rng.normal(size=(total, length + 20))
    for k in range(2, x.shape[1]):
        x[:, k] += 2 * radius * np.cos(angle) * x[:, k - 1] - radius**2 * x[:, k - 2]
    x = x[:, 20:] + 0.5 * rng.normal(size=(total, length))
    return parts((x / x.std(axis=1, keepdims=True))[..., None], y, rows)


def lorenz(rows: int, length: int = 24, ahead: int = 6, noise: float = 0.25) -> Data:
    """Return noisy pieces of the Lorenz system's first coordinate; the target is a later noisy value."""
    rng = np.random.RandomState(41)
    states = rng.normal(size=(rows + HELD_OUT, 3)) + np.array([0.0, 0.0, 25.0])
    path = []
    for step in range(1000 + 8 * (length + ahead)):
        u, v, w = states.T
        states = states + 0.005 * np.stack([10 * (v - u), u * (28 - w) - v, u * v - 8 / 3 * w], axis=1)
        if step >= 1000 and step % 8 == 0:
            path.append(states[:, 0] / 8)
    x = np.stack(path, axis=1) + noise * rng.normal(size=(len(states), len(path)))
    return parts(x[:, :length, None], x[:, -1:], rows)


def randomized(y: np.ndarray, classes: int, share: float, rng: np.random.RandomState) -> np.ndarray:
    """Return the classes with a share of them replaced by random ones."""
    return np.where(rng.uniform(size=len(y)) < share, rng.randint(classes, size=len(y)), y)
