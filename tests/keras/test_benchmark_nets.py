"""The convolutions of the study `2026-11-28_benchmark`, against those of Keras."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

pytestmark = pytest.mark.one_backend

NETS = Path(__file__).resolve().parents[2] / "studies" / "2026-11-28_benchmark" / "nets.py"


@pytest.fixture(scope="module")
def nets():
    """The module of the study."""
    spec = importlib.util.spec_from_file_location("benchmark_nets", NETS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("shape", "width", "kind", "pooling"),
    [
        ((8, 8, 3), 3, layers.Conv2D, layers.AveragePooling2D),
        ((16, 2), 5, layers.Conv1D, layers.AveragePooling1D),
    ],
)
def test_convolutions_of_shifted_copies_are_those_of_keras(nets, shape, width, kind, pooling):
    """With the same weights, both have the same outputs; halving is average pooling."""
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    start = keras.Input(shape)
    model = keras.Model(start, [nets.convolved(start, 4, width), nets.halved(start)])
    conv = kind(4, width, padding="same")
    conv.build((None, *shape))
    kernel, bias = model.get_weights()
    conv.set_weights([kernel.reshape(conv.kernel.shape), bias])

    for found, expected in zip(model(x), [conv(x), pooling(2)(x)], strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(found), keras.ops.convert_to_numpy(expected), atol=1e-5)
