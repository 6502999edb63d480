"""The loss of guessing, as far as the loss function and the targets say what it is."""

from __future__ import annotations

import math

import keras
import numpy as np

from onecycle.keras_support.running_fit import fit_data

_CATEGORICAL = ("categoricalcrossentropy", "sparsecategoricalcrossentropy")
_BINARY = ("binarycrossentropy",)
_SQUARES, _SIZES = ("mse", "meansquarederror"), ("mae", "meanabsoluteerror")
_ROWS = 4096  # that the spread of the targets is computed from
_OUTLIERS = 1  # per cent of the targets at either end that are ignored


def guessing_loss(model: keras.Model) -> float:
    """Return the loss of a model whose predictions are always the same; 0 where that is not known.

    Of a classifier, that is the loss where all classes are equally probable. Of a regression it is the variance of the
    targets, or their mean distance from the median, known where `fit` is running and its targets are one array.

    Args:
        model: A compiled model.
    """
    loss = model.loss
    if isinstance(loss, str):
        name = loss
    elif isinstance(loss, keras.losses.Loss):
        name = type(loss).__name__
    else:
        name = getattr(loss, "__name__", "")
    name = name.replace("_", "").lower()
    if name in _BINARY:
        return math.log(2)
    if name in (*_SQUARES, *_SIZES):
        return _spread_of_targets(model, squared=name in _SQUARES)
    shape = getattr(model, "output_shape", None) if getattr(model, "outputs", None) else None
    if name not in _CATEGORICAL or not isinstance(shape, tuple) or not isinstance(shape[-1], int):
        return 0.0
    return math.log(max(shape[-1], 2))


def _spread_of_targets(model: keras.Model, *, squared: bool) -> float:
    _, y, weights = fit_data(model) or (None, None, None)
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "fiu" or not len(y) or weights is not None:
        return 0.0
    columns = y[:: -(-len(y) // _ROWS)].astype("float64")
    columns = columns.reshape(len(columns), -1)
    columns[~np.isfinite(columns)] = np.nan
    if np.isnan(columns).all(axis=0).any():
        return 0.0
    columns = np.clip(columns, *np.nanpercentile(columns, [_OUTLIERS, 100 - _OUTLIERS], axis=0))
    centers = (np.nanmean if squared else np.nanmedian)(columns, axis=0)
    distances = np.abs(columns - centers)
    return float(np.nanmean(distances**2 if squared else distances))
