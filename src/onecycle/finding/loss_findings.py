"""Findings on how the loss fits the targets and the outputs: labels, logits and shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.finding.look import Look
from onecycle.keras_support.array_rows import numeric_rows
from onecycle.keras_support.loss_parts import LossPart, output_activation
from onecycle.keras_support.types import Nested
from onecycle.keras_support.value_scan import chunks
from onecycle.results.findings import Finding

TOLERANCE = 1e-3  # of numbers in half precision
CLASS_LOSSES = ("sparse_categorical_crossentropy", "categorical_generalized_cross_entropy")
# The values that the targets of a loss may have. Others are clipped, or make the loss negative or NaN.
TARGETS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("categorical_crossentropy", "categorical_focal_crossentropy", "kl_divergence"), (0.0, 1.0)),
    **dict.fromkeys(("binary_crossentropy", "binary_focal_crossentropy", "dice", "tversky"), (0.0, 1.0)),
    **dict.fromkeys(("hinge", "squared_hinge", "categorical_hinge"), (-1.0, 1.0)),
    **dict.fromkeys(("poisson", "mean_squared_logarithmic_error"), (0.0, math.inf)),
}
# The losses that take probabilities or, with `from_logits=True`, logits; and the activation that makes probabilities.
PROBABILITY_LOSSES = {
    **dict.fromkeys(("sparse_categorical_crossentropy", "categorical_crossentropy"), "softmax"),
    "categorical_focal_crossentropy": "softmax",
    **dict.fromkeys(("binary_crossentropy", "binary_focal_crossentropy"), "sigmoid"),
}
# Losses of Keras that compare targets and predictions number by number, and broadcast where the shapes differ.
ELEMENTWISE = (
    *("mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error"),
    *("huber", "log_cosh", "poisson", "hinge", "squared_hinge", "kl_divergence", "cosine_similarity"),
)
MAX_ROWS_COMPARED = 8  # of a loss of the user's, which is called once for each


def labels_out_of_range(look: Look) -> Finding | None:
    """Return a finding on targets that the loss is not defined for."""
    return next(filter(None, (_bad_labels(look, part) for part in look.loss_parts())), None)


def logits_and_probabilities(look: Look) -> Finding | None:
    """Return a finding on probabilities that the loss takes for logits, or logits that it takes for probabilities."""
    return next(filter(None, (_wrong_outputs(look, part) for part in look.loss_parts())), None)


def shapes_that_broadcast(look: Look) -> Finding | None:
    """Return a finding on targets and predictions of different shapes that the loss compares each with each."""
    for part in look.loss_parts():
        shapes = tuple(part.y_true.shape), tuple(part.y_pred.shape)
        if part.function in ELEMENTWISE:
            broadcasts = _broadcasts(*shapes, look.batch_size)
        else:
            broadcasts = part.function is None and sorted(map(len, shapes)) == [1, 2] and _mixes_rows(part)
        if broadcasts:
            true, pred = (f"({', '.join(['n', *map(str, shape[1:])])}{',' if len(shape) == 1 else ''})"
                          for shape in shapes)  # fmt: skip
            return Finding(
                "shapes that broadcast",
                f"The targets{_of(look, part)} have the shape {true} and the predictions {pred}, and the loss "
                f"{part.loss.name!r} compares each number of the one with several of the other. The model then learns "
                "the mean of the targets rather than each of them.",
                "Give both the same shape, for example with `y.reshape(-1, 1)`, or change the last layer.",
            )
    return None


def _bad_labels(look: Look, part: LossPart) -> Finding | None:
    if part.function not in (*CLASS_LOSSES, *TARGETS) or part.target is None:
        return None
    labels = [*_labels(look, part.target)]
    low = min((float(values.min()) for values in labels), default=0.0)
    high = max((float(values.max()) for values in labels), default=0.0)
    if part.function in TARGETS:
        allowed = TARGETS[part.function]
        if allowed[0] - TOLERANCE <= low and high <= allowed[1] + TOLERANCE:
            return None
        expected = f"{allowed[0]:g} and above" if math.isinf(allowed[1]) else "from {:g} to {:g}".format(*allowed)
        remedy = "Scale or encode the targets so, or choose the loss that fits them."
    else:
        classes = int(part.y_pred.shape[part.settings.get("axis", -1)])
        ignored = part.settings.get("ignore_class")
        labels = [values[values != ignored] for values in labels] if ignored is not None else labels
        if not any(((values < 0) | (values >= classes) | (values % 1 != 0)).any() for values in labels):
            return None
        expected = f"whole numbers from 0 to {classes - 1}, one for each of the {classes} outputs"
        remedy = f"Number the classes from 0, or give the last layer {int(max(high, 0)) + 1} outputs."
        if low == 1 and high == classes:
            remedy = "Number the classes from 0: pass `y - 1`."
    return Finding(
        "labels out of range",
        f"The targets{_of(look, part)} range from {low:g} to {high:g}, and the loss {part.loss.name!r} takes "
        f"{expected}. Depending on the backend, such a target is an error, makes the loss NaN, or is not learned.",
        remedy,
    )


def _labels(look: Look, number: int) -> Iterable[NDArray[np.float64]]:
    """Yield the targets of one output, without those of weight 0, which may have any value, and without NaN."""
    leaf = keras.tree.flatten(look.y)[number]
    weights = [one for one in keras.tree.flatten(look.sample_weight) if one is not None]
    weight = None if not weights else weights[0 if len(weights) == 1 else number] if number < len(weights) else None
    if weights and weight is None:
        return
    for rows, values in chunks(leaf):
        kept = np.isfinite(values.astype(np.float64))
        if weight is not None:
            present = numeric_rows(weight, rows)
            if present is None:
                return
            present = (present != 0).reshape(present.shape + (1,) * (values.ndim - present.ndim))
            if present.ndim > values.ndim:
                present = present[..., 0]
            kept &= present
        if kept.any():
            yield values[kept].astype(np.float64)


def _wrong_outputs(look: Look, part: LossPart) -> Finding | None:
    activation = PROBABILITY_LOSSES.get(part.function or "")
    values = None if activation is None else part.values()
    if values is None or not np.isfinite(values).all():
        return None
    made_by, softmax = output_activation(look.model, part), activation == "softmax"
    if part.settings.get("from_logits", False):
        sums = softmax and values.shape[-1] > 1 and bool((np.abs(values.sum(axis=-1) - 1) < TOLERANCE).all())
        in_range = bool(((values >= 0) & (values <= 1)).all())
        if not in_range or not (sums or made_by == "sigmoid" or (softmax and made_by == "softmax")):
            return None
        made = made_by if made_by in ("softmax", "sigmoid") else activation
        return Finding(
            "probabilities as logits",
            f"The outputs{_of(look, part)} are probabilities, as of a {made}, and the loss {part.loss.name!r} with "
            "`from_logits=True` takes logits. It applies a second activation, which keeps the loss high and the "
            "gradients small, except where TensorFlow notices it.",
            f"Use `from_logits=False`, or remove the {made} from the last layer.",
        )
    outside = bool((values < -TOLERANCE).any() or (not softmax and (values > 1 + TOLERANCE).any()))
    if not outside or made_by in ("softmax", "sigmoid"):
        return None
    return Finding(
        "logits as probabilities",
        f"The outputs{_of(look, part)} range from {values.min():.3g} to {values.max():.3g}, and the loss "
        f"{part.loss.name!r} takes probabilities. It clips what is outside 0 to 1, where no gradient is left, and "
        "training hardly moves.",
        f"Use the loss with `from_logits=True`, or give the last layer a {activation}.",
    )


def _broadcasts(true: tuple[int, ...], pred: tuple[int, ...], batch_size: int) -> bool:
    """Return whether NumPy's rules make one of the shapes larger after Keras has squeezed or expanded the last axis."""
    true, pred = (batch_size, *true[1:]), (batch_size, *pred[1:])
    if abs(len(true) - len(pred)) == 1:
        # As in `keras.losses`: a last axis of 1 is removed, or added to (n,).
        longer, shorter = (true, pred) if len(true) > len(pred) else (pred, true)
        if longer[-1] == 1:
            longer, shorter = (longer, (*shorter, 1)) if len(shorter) == 1 else (longer[:-1], shorter)
        true, pred = longer, shorter
    if true == pred:
        return False
    try:
        np.broadcast_shapes(true, pred)
    except ValueError:  # Keras raises an error too
        return False
    return True


def _mixes_rows(part: LossPart) -> bool:
    """Return whether a loss of the user's compares each row with all others because of the shape of the targets.

    With targets of the shape of the predictions, the loss of a batch is the mean of those of its rows, and with the
    targets as they are it is not.
    """
    true, pred = (np.asarray(keras.ops.convert_to_numpy(one))[:MAX_ROWS_COMPARED] for one in (part.y_true, part.y_pred))
    if len(true) < 2 or true.size != pred.size:
        return False

    def mixes(targets: Nested) -> bool:
        def mean(rows: slice) -> float:
            values = part.loss.call(keras.ops.convert_to_tensor(targets[rows]), keras.ops.convert_to_tensor(pred[rows]))
            return float(np.mean(keras.ops.convert_to_numpy(values)))

        alone = np.mean([mean(slice(row, row + 1)) for row in range(len(pred))])
        together = mean(slice(None))
        return not math.isclose(alone, together, rel_tol=0.01, abs_tol=1e-6)

    return mixes(true) and not mixes(true.reshape(pred.shape))


def _of(look: Look, part: LossPart) -> str:
    """Return which of several outputs a loss belongs to, for a sentence; "" where there is one."""
    names = getattr(look.model, "output_names", None) or []
    if part.output is None or len(keras.tree.flatten(look.outputs)) < 2:
        return ""
    return f" of the output {names[part.output]!r}" if part.output < len(names) else f" of output {part.output}"
