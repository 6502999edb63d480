"""Tests of the memory layout of pools in graphs of PyTorch."""

import keras
import numpy as np
import pytest

from onecycle.keras_support import step_graph
from onecycle.keras_support.graph_layout import pool_with_channels_last

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="only PyTorch has graphs of single steps")


def pooled_and_gradient(size, stride):
    """Return a function of images that returns their max pool and the gradient of a loss of it."""
    import torch

    def function(images):
        leaf = images.detach().requires_grad_()
        with torch.enable_grad():
            pooled = torch.nn.functional.max_pool2d(leaf * 2, size, stride, padding=size // 2)
            (gradient,) = torch.autograd.grad((pooled * pooled.exp()).sum(), [leaf])
        return [pooled.detach(), gradient]

    return function


def images(channels=3, *, bad=False):
    """Return images with ties, and with NaN and infinite values if these are asked for."""
    import torch

    values = np.random.default_rng(0).normal(size=(2, channels, 9, 11)).astype("float32").round(1)
    if bad:
        values[0, 0, 2, 3], values[1, 1, 4, 4], values[1, 2, 0, 0] = np.nan, np.inf, -np.inf
    return torch.tensor(values)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 1)], ids=["apart", "overlapping", "dense"])
@pytest.mark.parametrize("bad", [False, True])
def test_pool_has_the_same_bits(size, stride, bad):
    """Also where windows overlap, where values are equal, and with NaN and infinite values."""
    import torch

    function, x = pooled_and_gradient(size, stride), images(bad=bad)
    graph = step_graph.traced_graph(function, [x])
    for found, expected in zip(graph(x), function(x), strict=True):
        assert torch.equal(found.nan_to_num(7.0), expected.nan_to_num(7.0))
        assert torch.equal(found.isnan(), expected.isnan())


def test_only_pools_with_channels_first_are_changed():
    """One copy serves the pool and its gradient; images with channels last need none."""
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    copies = []
    for x in (images(), images().to(memory_format=torch.channels_last)):
        graph = make_fx(pooled_and_gradient(2, 2))(x).graph
        before = len(graph.nodes)
        pool_with_channels_last(graph)
        copies.append(len(graph.nodes) - before)
    assert copies == [1, 0]
