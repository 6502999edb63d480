"""The tasks' data: read, split and standardised. Imports keras only where nothing but `keras.datasets` has the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = tuple[Array, Array]
Split: TypeAlias = tuple[Arrays, Arrays]

# The seed and the share of `keras.datasets.boston_housing.load_data()`: 404 rows to train, 102 to test.
BOSTON_SEED = 113
BOSTON_TRAIN = 404
BOSTON_ROWS, BOSTON_COLUMNS = 506, 13
DIGITS_TRAIN = 1437
IMAGE_KEYS = ("x_train", "y_train", "x_test", "y_test")


def digits(directory: Path | None) -> Split:
    """1797 handwritten digits, 8 × 8, that come with scikit-learn; 1437 of them to train. `directory` is not needed."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The task `digits` needs scikit-learn. Install it with: pip install 'onecycle[studies]'", name="sklearn"
        ) from error
    images, labels = load_digits(return_X_y=True)
    x, y = images.reshape(-1, 8, 8, 1), labels.astype(np.int64)
    order = np.random.RandomState(0).permutation(len(x))
    train, test = order[:DIGITS_TRAIN], order[DIGITS_TRAIN:]
    return standardise_channels((x[train], y[train]), (x[test], y[test]))


def boston_housing(directory: Path | None) -> Split:
    """506 districts with 13 numbers each, and the median price of a house there; Keras' own shuffle and split."""
    if directory is None:
        from keras.datasets import boston_housing as remote

        train, test = remote.load_data()
        return standardise_columns(train, test)
    arrays = read(directory / "boston-housing.npz", ("x", "y"))
    if arrays["x"].shape != (BOSTON_ROWS, BOSTON_COLUMNS):
        raise ValueError(
            f"In {directory / 'boston-housing.npz'}, `x` must have {BOSTON_ROWS} rows and {BOSTON_COLUMNS} columns. "
            f"Received: {arrays['x'].shape}"
        )
    order = np.arange(BOSTON_ROWS)
    np.random.RandomState(BOSTON_SEED).shuffle(order)
    x, y = arrays["x"][order], arrays["y"][order]
    return standardise_columns((x[:BOSTON_TRAIN], y[:BOSTON_TRAIN]), (x[BOSTON_TRAIN:], y[BOSTON_TRAIN:]))


def fashion_mnist(directory: Path | None) -> Split:
    """70,000 pictures of clothes in 10 kinds, 28 × 28 grey; 60,000 of them to train."""
    if directory is None:
        from keras.datasets import fashion_mnist as remote

        return standardise_images(*remote.load_data())
    return standardise_images(*read_images(directory / "fashion-mnist.npz"))


def cifar10(directory: Path | None) -> Split:
    """60,000 photographs in 10 kinds, 32 × 32 in colour; 50,000 of them to train."""
    if directory is None:
        from keras.datasets import cifar10 as remote

        return standardise_images(*remote.load_data())
    return standardise_images(*read_images(directory / "cifar10.npz"))


LOADERS: dict[str, Callable[[Path | None], Split]] = {
    "digits": digits,
    "boston-housing": boston_housing,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
}


def read(path: Path, keys: tuple[str, ...]) -> Mapping[str, Array]:
    """Return the file's arrays of these names; a clear error where it is missing or laid out otherwise."""
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file {path}. Put it there, or name its folder with `data_dir` or ONECYCLE_DATA, "
            "or leave both out to download the data through keras.datasets."
        )
    try:
        with np.load(path) as archive:
            arrays = {key: archive[key] for key in keys}
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"The file {path} must be an .npz archive with the arrays {', '.join(keys)}.") from error
    for inputs, targets in zip(keys[::2], keys[1::2], strict=True):
        if len(arrays[inputs]) != len(arrays[targets]):
            raise ValueError(
                f"In {path}, `{inputs}` and `{targets}` must be of equal length. "
                f"Received: {len(arrays[inputs])} and {len(arrays[targets])}"
            )
    return arrays


def read_images(path: Path) -> Split:
    """Return `(x_train, y_train), (x_test, y_test)` of a file of pictures."""
    x, y, x_test, y_test = read(path, IMAGE_KEYS).values()
    if x.ndim not in (3, 4) or x.shape[1:] != x_test.shape[1:]:
        raise ValueError(f"In {path}, pictures must be of one size. Received: {x.shape} and {x_test.shape}")
    return (x, y), (x_test, y_test)


def standardise_images(train: Arrays, test: Arrays) -> Split:
    """Standardise pictures, grey ones given their channel, with labels as a flat array of integers."""
    (x, y), (x_test, y_test) = (
        (images.reshape(*images.shape[:3], -1), labels.reshape(-1).astype(np.int64)) for images, labels in (train, test)
    )
    return standardise_channels((x, y), (x_test, y_test))


def standardise_channels(train: Arrays, test: Arrays) -> Split:
    """Subtract each colour channel's mean and divide by its deviation, both of the training pictures alone."""
    (x, y), (x_test, y_test) = train, test
    axes = (0, 1, 2)
    mean = x.mean(axes, np.float64)
    # Whole numbers up to 255 have exact squares in float32; `x.std` would copy all of x as float64.
    square = np.square(x, dtype=np.float32).mean(axes, np.float64)
    deviation = np.sqrt(square - mean**2)
    return (scaled(x, mean, deviation), y), (scaled(x_test, mean, deviation), y_test)


def standardise_columns(train: Arrays, test: Arrays) -> Split:
    """Subtract each column's mean and divide by its deviation, both of the training rows alone; targets as float32."""
    (x, y), (x_test, y_test) = train, test
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    return (
        (scaled(x, mean, deviation), y.astype(np.float32)),
        (scaled(x_test, mean, deviation), y_test.astype(np.float32)),
    )


def scaled(x: Array, mean: Array, deviation: Array) -> NDArray[np.float32]:
    """Return `(x - mean) / deviation` as float32, pictures of bytes without a larger copy on the way."""
    if x.dtype != np.uint8:
        return ((x - mean) / deviation).astype(np.float32)
    result = x.astype(np.float32)
    result -= mean.astype(np.float32)
    result /= deviation.astype(np.float32)
    return result
