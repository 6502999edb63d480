"""Loading, splitting and standardizing the data of the tasks. Keras is imported only for downloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
InputsAndTargets: TypeAlias = tuple[Array, Array]
TrainTestSplit: TypeAlias = tuple[InputsAndTargets, InputsAndTargets]

# The seed and the split of `keras.datasets.boston_housing.load_data()`: 404 training and 102 test rows.
BOSTON_SEED = 113
BOSTON_TRAIN = 404
BOSTON_ROWS, BOSTON_COLUMNS = 506, 13
DIGITS_TRAIN = 1437
IMAGE_KEYS = ("x_train", "y_train", "x_test", "y_test")


def load_digits(directory: Path | None) -> TrainTestSplit:
    """Load 1797 handwritten digits of 8 × 8 pixels from scikit-learn: 1437 for training, 360 for testing.

    `directory` is not used.
    """
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The task `digits` needs scikit-learn. Install it with: pip install scikit-learn", name="sklearn"
        ) from error
    images, labels = datasets.load_digits(return_X_y=True)
    x, y = images.reshape(-1, 8, 8, 1), labels.astype(np.int64)
    # RandomState and not default_rng, whose numbers may change with NumPy.
    order = np.random.RandomState(0).permutation(len(x))
    train, test = order[:DIGITS_TRAIN], order[DIGITS_TRAIN:]
    return standardize_channels((x[train], y[train]), (x[test], y[test]))


def load_boston_housing(directory: Path | None) -> TrainTestSplit:
    """Load 506 districts with 13 features and the median house price, with the shuffle and split of Keras."""
    if directory is None:
        from keras.datasets import boston_housing

        return standardize_columns(*boston_housing.load_data())
    path = directory / "boston-housing.npz"
    arrays = read_arrays(path, ("x", "y"))
    if arrays["x"].shape != (BOSTON_ROWS, BOSTON_COLUMNS):
        raise ValueError(
            f"In {path}, array `x` must have {BOSTON_ROWS} rows and {BOSTON_COLUMNS} columns. "
            f"Received: shape {arrays['x'].shape}"
        )
    # The file has the rows in their published order.
    order = np.arange(BOSTON_ROWS)
    np.random.RandomState(BOSTON_SEED).shuffle(order)
    x, y = arrays["x"][order], arrays["y"][order]
    return standardize_columns((x[:BOSTON_TRAIN], y[:BOSTON_TRAIN]), (x[BOSTON_TRAIN:], y[BOSTON_TRAIN:]))


def load_fashion_mnist(directory: Path | None) -> TrainTestSplit:
    """Load 70,000 gray images of clothes, 28 × 28 pixels, 10 classes: 60,000 for training."""
    if directory is None:
        from keras.datasets import fashion_mnist

        return standardize_images(*fashion_mnist.load_data())
    return standardize_images(*read_images(directory / "fashion-mnist.npz"))


def load_cifar10(directory: Path | None) -> TrainTestSplit:
    """Load 60,000 color photos, 32 × 32 pixels, 10 classes: 50,000 for training."""
    if directory is None:
        from keras.datasets import cifar10

        return standardize_images(*cifar10.load_data())
    return standardize_images(*read_images(directory / "cifar10.npz"))


# The name of a task is also the name of its file in `data_dir`.
LOADERS: dict[str, Callable[[Path | None], TrainTestSplit]] = {
    "digits": load_digits,
    "boston-housing": load_boston_housing,
    "fashion-mnist": load_fashion_mnist,
    "cifar10": load_cifar10,
}


def read_arrays(path: Path, keys: tuple[str, ...]) -> Mapping[str, Array]:
    """Read arrays from an .npz file.

    Args:
        path: The file.
        keys: Names of the arrays, inputs and targets in turn.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If an array is missing, or inputs and targets have different lengths.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file {path}. Put it there, or set `data_dir` or ONECYCLE_DATA to its folder, or set neither "
            "to download the data with keras.datasets."
        )
    try:
        with np.load(path) as archive:
            arrays = {key: archive[key] for key in keys}
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"The file {path} must be an .npz archive with the arrays {', '.join(keys)}.") from error
    for inputs, targets in zip(keys[::2], keys[1::2], strict=True):
        if len(arrays[inputs]) != len(arrays[targets]):
            raise ValueError(
                f"In {path}, arrays `{inputs}` and `{targets}` must have the same length. "
                f"Received: lengths {len(arrays[inputs])} and {len(arrays[targets])}"
            )
    return arrays


def read_images(path: Path) -> TrainTestSplit:
    """Read training and test images and their labels from an .npz file."""
    x, y, x_test, y_test = read_arrays(path, IMAGE_KEYS).values()
    if x.ndim not in (3, 4) or x.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"In {path}, all images must have the same size. Received: shapes {x.shape} and {x_test.shape}"
        )
    return (x, y), (x_test, y_test)


def standardize_images(train: InputsAndTargets, test: InputsAndTargets) -> TrainTestSplit:
    """Standardize images; add the channel axis of gray ones, and flatten the labels to int64."""
    # Labels of CIFAR-10 have the shape (n, 1).
    (x, y), (x_test, y_test) = (
        (images.reshape(*images.shape[:3], -1), labels.reshape(-1).astype(np.int64)) for images, labels in (train, test)
    )
    return standardize_channels((x, y), (x_test, y_test))


def standardize_channels(train: InputsAndTargets, test: InputsAndTargets) -> TrainTestSplit:
    """Standardize each color channel with the mean and standard deviation of the training images."""
    (x, y), (x_test, y_test) = train, test
    axes = (0, 1, 2)
    mean = x.mean(axes, np.float64)
    # Squares of integers up to 255 are exact in float32; `x.std` would make a float64 copy of all of x.
    square = np.square(x, dtype=np.float32).mean(axes, np.float64)
    deviation = np.sqrt(square - mean**2)
    return (_standardized(x, mean, deviation), y), (_standardized(x_test, mean, deviation), y_test)


def standardize_columns(train: InputsAndTargets, test: InputsAndTargets) -> TrainTestSplit:
    """Standardize each column with the mean and standard deviation of the training rows; targets become float32."""
    (x, y), (x_test, y_test) = train, test
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    return (
        (_standardized(x, mean, deviation), y.astype(np.float32)),
        (_standardized(x_test, mean, deviation), y_test.astype(np.float32)),
    )


def _standardized(x: Array, mean: Array, deviation: Array) -> NDArray[np.float32]:
    """Return `(x - mean) / deviation` as float32."""
    if x.dtype != np.uint8:
        return ((x - mean) / deviation).astype(np.float32)
    # In place, because a float64 copy of all images takes eight times their memory.
    result = x.astype(np.float32)
    result -= mean.astype(np.float32)
    result /= deviation.astype(np.float32)
    return result
