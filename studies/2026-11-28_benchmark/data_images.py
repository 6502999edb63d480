"""Real data: images of Fashion-MNIST and CIFAR-10, scikit-learn's two photos, and matplotlib's elevation map."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import sklearn.datasets as sample_data
from data import HELD_OUT, Data, parts
from matplotlib import cbook

from onecycle.tasks import load_task


def images(
    name: str, rows: int, *, first: int = 10_000, pooled: int = 1, gray: bool = False, flat: bool = False,
    classes: Iterable[int] = range(10), noisy_labels: float = 0.0,
) -> Callable[[], Data]:  # fmt: skip
    """Return a function that loads images: training rows from row `first` on, the others from the test set.

    Args:
        name: "cifar10" or "fashion-mnist".
        rows: Number of training rows.
        first: First training row; the earlier study trained on rows below 10,000.
        pooled: Images are averaged over squares of this side.
        gray: Whether the colors are averaged.
        flat: Whether an image is one row of numbers.
        classes: Classes that are kept; they are numbered from 0.
        noisy_labels: Share of the training rows with a random class.
    """

    def load() -> Data:
        (x, y), (x_test, y_test) = load_task(name).data
        wanted = list(classes)
        kept, kept_test = np.isin(y[first:], wanted), np.isin(y_test, wanted)
        x = np.concatenate([x[first:][kept][:rows], x_test[kept_test][:HELD_OUT]])
        y = np.concatenate([y[first:][kept][:rows], y_test[kept_test][:HELD_OUT]])
        side = x.shape[1] // pooled
        x = x.reshape(len(x), side, pooled, side, pooled, -1).mean(axis=(2, 4))
        x = x.mean(axis=-1, keepdims=True) if gray else x
        y = np.searchsorted(wanted, y)
        rng = np.random.RandomState(7)
        noisy = np.flatnonzero(rng.uniform(size=rows) < noisy_labels)
        y[noisy] = rng.randint(len(wanted), size=len(noisy))
        return parts(x.reshape(len(x), -1) if flat else x, y, rows)

    return load


def autoencoded(rows: int) -> Data:
    """Return gray images of Fashion-MNIST, 14 × 14, with themselves as targets."""
    data = images("fashion-mnist", rows, pooled=2, flat=True)()
    return Data(*((x, x) for x, _ in data))


def photo_patches(rows: int, side: int = 12, noise: float = 1.5) -> Data:
    """Return noisy patches of scikit-learn's two photos, with the clean patches as targets."""
    rng = np.random.RandomState(11)
    photos = [np.asarray(photo, "float32") for photo in sample_data.load_sample_images().images]
    clean = []
    for _ in range(rows + HELD_OUT):
        photo = photos[rng.randint(len(photos))]
        top, left = (rng.randint(size - side + 1) for size in photo.shape[:2])
        clean.append(photo[top : top + side, left : left + side])
    y = np.array(clean)
    y = (y - y.mean(axis=(0, 1, 2))) / y.std(axis=(0, 1, 2))
    return parts(y + noise * rng.normal(size=y.shape), y, rows)


def photo_neighbors(rows: int) -> Data:
    """Return the 12 pixels above and left of a pixel of a photo, minus the left one; the target is the pixel so."""
    rng = np.random.RandomState(12)
    photo = np.asarray(sample_data.load_sample_image("china.jpg"), "float32").mean(axis=2)
    before = [(-2, k) for k in range(-2, 3)] + [(-1, k) for k in range(-2, 3)] + [(0, -2), (0, -1)]
    total = rows + HELD_OUT
    top, left = rng.randint(2, photo.shape[0], total), rng.randint(2, photo.shape[1] - 2, total)
    reference = photo[top, left - 1]
    x = np.stack([photo[top + down, left + right] for down, right in before], axis=1) - reference[:, None]
    y = (photo[top, left] - reference)[:, None]
    return parts((x / x.std())[..., None], y / y.std(), rows)


def terrain(rows: int, frequencies: int = 48, noise: float = 0.35) -> Data:
    """Return waves of a position on matplotlib's elevation map; the target is the noisy elevation."""
    rng = np.random.RandomState(13)
    with cbook.get_sample_data("jacksboro_fault_dem.npz") as archive:
        height = archive["elevation"].astype("float64")
    height = (height - height.mean()) / height.std()
    at = rng.permutation(height.size)[: rows + HELD_OUT]
    position = np.stack(np.unravel_index(at, height.shape), axis=1) / height.shape[0]
    angles = position @ rng.normal(scale=12.0, size=(2, frequencies))
    y = height.reshape(-1)[at][:, None] + noise * rng.normal(size=(len(at), 1))
    return parts(np.concatenate([np.sin(angles), np.cos(angles)], axis=1), y, rows)
