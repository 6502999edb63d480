"""Tests of the numbers that are recorded on each batch, against a literal computation."""

import keras
import numpy as np
import pytest

from onecycle.keras_support import batch_facts

X = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
Y = np.random.default_rng(1).integers(3, size=8)
WEIGHTS = np.array([1, 0, 0, 2, 0, 0, 0, 1], "float32")
BAD = X.copy()
BAD[0, 0], BAD[1, 1] = np.nan, np.inf


def literal(arguments, *, counts):
    """Return the numbers, computed value by value."""
    leaves = {name: [one for one in keras.tree.flatten(arguments.get(name)) if one is not None] for name in "xy"}
    weights = arguments.get("sample_weight")
    numbers = [sum(float(not np.isfinite(v)) for leaf in leaves[name] for v in leaf.ravel()) for name in "xy"]
    numbers = [*numbers, 0.0] if counts else [0.0] * 3
    numbers += [-1.0 if weights is None else float(sum(w != 0 for w in weights)), 8.0]
    for leaf in leaves["y"] or leaves["x"]:
        sums = [sum(float(v) * np.cos(k) for k, v in enumerate(np.ravel(row))) for row in leaf]
        numbers += [np.mean(sums), np.var(sums)]
    return numbers + [-1.0] * (batch_facts.WIDTH - len(numbers))


CASES = {
    "weights": {"x": X, "y": Y, "sample_weight": WEIGHTS},
    "autoencoder": {"x": [X, 2 * X], "y": None},
    "one-hot": {"x": X, "y": {"a": Y, "b": np.eye(3, dtype="float32")[Y]}},
    "bad inputs": {"x": BAD, "y": Y},
}


@pytest.mark.parametrize("path", ["chosen", "tensors"])
@pytest.mark.parametrize("loss", [None, 1.0, np.nan])
@pytest.mark.parametrize("name", CASES)
def test_facts_are_those_of_a_literal_computation(name, loss, path):
    """Both ways to compute them agree; bad values are counted only where the loss is unknown or not finite."""
    tensors = keras.tree.map_structure(
        lambda leaf: None if leaf is None else keras.ops.convert_to_tensor(leaf), CASES[name], none_is_leaf=True
    )
    given = None if loss is None else keras.ops.convert_to_tensor(np.float32(loss))
    if path == "chosen":
        found = batch_facts.batch_facts(tensors, given)
    else:
        leaves = {part: batch_facts._dense(tensors.get(part)) for part in batch_facts.ARGUMENTS}
        found = batch_facts._facts_of_tensors(leaves, given)
    found = found if isinstance(found, list) else keras.ops.convert_to_numpy(found)
    counts = loss is None or not np.isfinite(loss) or (path == "tensors" and keras.backend.backend() == "torch")
    np.testing.assert_allclose(found, literal(CASES[name], counts=counts), rtol=1e-5, atol=1e-6)
