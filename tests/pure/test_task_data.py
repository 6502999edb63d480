"""The data of the tasks from local files: split, standardization, and errors for wrong files."""

import numpy as np
import pytest

from onecycle.tasks import NAMES, load_task


@pytest.fixture
def folder(tmp_path):
    """A folder with small files that have the arrays of the real ones."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "boston-housing.npz", x=np.arange(506 * 13.0).reshape(506, 13), y=np.arange(506.0))
    for name, shape in (("fashion-mnist", (28, 28)), ("cifar10", (32, 32, 3))):
        arrays = {
            f"x_{part}": rng.integers(0, 256, (size, *shape), np.uint8) for part, size in (("train", 50), ("test", 20))
        }
        arrays |= {f"y_{part}": rng.integers(0, 10, size, np.uint8) for part, size in (("train", 50), ("test", 20))}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    return tmp_path


SHAPES = {
    "digits": ((1437, 8, 8, 1), (360, 8, 8, 1)),
    "boston-housing": ((404, 13), (102, 13)),
    "fashion-mnist": ((50, 28, 28, 1), (20, 28, 28, 1)),
    "cifar10": ((50, 32, 32, 3), (20, 32, 32, 3)),
}


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_standardized_with_the_training_rows(name, folder):
    """Inputs are float32. Each channel or column of the training inputs has mean 0 and standard deviation 1."""
    (x, y), (x_test, y_test) = load_task(name, folder).data

    assert (x.shape, x_test.shape) == SHAPES[name]
    assert (len(y), len(y_test)) == (len(x), len(x_test))
    assert x.dtype == x_test.dtype == np.float32
    axes = tuple(range(x.ndim - 1))
    np.testing.assert_allclose(x.mean(axes, np.float64), 0, atol=1e-4)
    np.testing.assert_allclose(x.std(axes, dtype=np.float64), 1, atol=1e-4)
    assert abs(float(x_test.mean(dtype=np.float64))) > 1e-6


@pytest.mark.parametrize("name", ["digits", "fashion-mnist", "cifar10"])
def test_labels_are_integers_from_0_to_9(name, folder):
    """Labels are a flat int64 array of ten classes."""
    for _, labels in load_task(name, folder).data:
        assert labels.ndim == 1
        assert labels.dtype == np.int64
        assert set(labels) <= set(range(10))


def test_boston_has_the_split_of_keras(folder):
    """The rows are shuffled by RandomState(113) and split at 404, as in `keras.datasets.boston_housing`."""
    indices = np.arange(506)
    np.random.RandomState(113).shuffle(indices)

    (_, y), (_, y_test) = load_task("boston-housing", folder).data

    np.testing.assert_array_equal(np.concatenate([y, y_test]), indices.astype(np.float32))
    assert len(y) == 404


def test_digits_split_has_every_class():
    """The training digits have all ten classes, and the test digits at least 25 of each."""
    (_, y), (_, y_test) = load_task("digits").data

    assert len(set(y)) == 10
    assert np.bincount(y_test).min() >= 25


def test_environment_variable_sets_the_folder(folder, monkeypatch):
    """Without `data_dir`, the data is read from the folder in ONECYCLE_DATA."""
    monkeypatch.setenv("ONECYCLE_DATA", str(folder))

    assert len(load_task("cifar10").data[0][0]) == 50


def test_unknown_task():
    """An unknown name raises an error that lists the tasks."""
    with pytest.raises(ValueError, match=r"must be one of digits, boston-housing, .* Received: name='mnist'"):
        load_task("mnist")


def test_missing_file(tmp_path):
    """The error for a missing file names the file and the remedy."""
    with pytest.raises(FileNotFoundError, match=r"cifar10\.npz\. Put it there"):
        load_task("cifar10", tmp_path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.zeros((506, 13))},
        {"features": np.zeros((506, 13)), "y": np.zeros(506)},
        {"x": np.zeros((506, 13)), "y": np.zeros(505)},
        {"x": np.zeros((100, 13)), "y": np.zeros(100)},
    ],
    ids=["no targets", "other names", "unequal lengths", "too few rows"],
)
def test_wrong_arrays(tmp_path, arrays):
    """A file with other arrays raises an error that names the file."""
    np.savez(tmp_path / "boston-housing.npz", **arrays)

    with pytest.raises(ValueError, match=r"boston-housing\.npz"):
        load_task("boston-housing", tmp_path)


def test_not_an_archive(tmp_path):
    """A file that is not an .npz archive raises an error that names the expected arrays."""
    (tmp_path / "cifar10.npz").write_text("not an archive")

    with pytest.raises(ValueError, match="x_train, y_train, x_test, y_test"):
        load_task("cifar10", tmp_path)


@pytest.mark.parametrize("name", ["boston-housing", "fashion-mnist", "cifar10"])
def test_real_data(name, data_dir):
    """The real files have the published numbers of rows, and each class has the same number of images."""
    (x, y), (x_test, y_test) = load_task(name, data_dir).data
    sizes = {"boston-housing": (404, 102), "fashion-mnist": (60_000, 10_000), "cifar10": (50_000, 10_000)}

    assert (len(x), len(x_test)) == sizes[name]
    if name != "boston-housing":
        assert set(np.bincount(y)) == {len(y) // 10}
        assert set(np.bincount(y_test)) == {len(y_test) // 10}
