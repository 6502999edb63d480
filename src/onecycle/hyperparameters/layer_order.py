"""The order of a model's layers from input to head: groups of them, and rates that fall towards the input."""

from __future__ import annotations

from typing import TypeAlias

import keras

from onecycle.keras_support.layer_tree import layers_from_input, weights_to_train
from onecycle.suggestions.arguments import check_integer, check_number, described

LayerGroup: TypeAlias = tuple[keras.layers.Layer, ...]

DEFAULT_DECAY = 0.75  # of fine-tuned transformers: 0.65 to 0.9 are usual (see `schedule_hyperparameters`)


def layer_groups(model: keras.Model, n: int) -> tuple[LayerGroup, ...]:
    """Cut the layers of a model into groups, from the input to the head, as keys of `layer_rates`.

    The layers are those that have weights which can be trained, frozen or not, in the order of `model.layers`. Those of
    a nested model stand in its place. A composite layer, such as a block of a transformer, is one layer. A layer
    without a matrix of weights, such as a normalization, stays with the layer before it. Apart from that, the groups
    have equal numbers of layers; the first ones have one more where these do not divide evenly.

    In a subclassed model, `model.layers` has the order in which the layers were assigned to it.

    Args:
        model: A model that has its weights.
        n: Number of groups, at least 1.

    Returns:
        `n` tuples of layers.

    Raises:
        TypeError: If `model` is not a model.
        ValueError: If it has no weights yet, or fewer layers than groups.

    Example:

    ```python
    first, middle, head = onecycle.layer_groups(model, 3)
    onecycle.fit_one_cycle(model, x, y, epochs=10, layer_rates={first: 0.01, middle: 0.1})
    ```
    """
    check_integer("n", n)
    blocks = blocks_from_input(model)
    if len(blocks) < n:
        raise ValueError(
            f"Argument `n` must be at most {len(blocks)}, the number of layers with weights (a normalization counts "
            f"with the layer before it). Received: n={n} for model={model.name!r}"
        )
    size, larger = divmod(len(blocks), n)
    ends = [size * (k + 1) + min(k + 1, larger) for k in range(n)]
    return tuple(_joined(blocks[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True))


def decayed_rates(model: keras.Model, decay: float) -> dict[LayerGroup, float]:
    """Return factors that fall from the head to the input: 1, `decay`, `decay`² and so on.

    Args:
        model: A model that has its weights.
        decay: The ratio of neighbouring factors, above 0 and at most 1.

    Returns:
        Layer, with the normalizations after it -> factor.
    """
    check_number("decay", decay, above=0, maximum=1)
    blocks = blocks_from_input(model)
    return {block: decay ** (len(blocks) - 1 - k) for k, block in enumerate(blocks)}


def blocks_from_input(model: keras.Model) -> list[LayerGroup]:
    """Return the layers with weights, each with the normalizations after it, from the input to the head.

    Raises:
        TypeError, ValueError: If there is no model, or one that has no weights yet.
    """
    require_weights(model)
    blocks: list[LayerGroup] = []
    # Whether the last block has a matrix of weights, as every block gets in the end.
    complete = True
    for layer in layers_from_input(model):
        has_matrix = any(len(weight.shape) > 1 for weight in weights_to_train(layer))
        if not blocks or (has_matrix and complete):
            blocks.append((layer,))
            complete = has_matrix
        else:
            blocks[-1] += (layer,)
            complete = complete or has_matrix
    return blocks


def require_weights(model: object) -> None:
    """Check that a model has its weights.

    Raises:
        TypeError: If it is not a model.
        ValueError: If it has no weights yet.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"Argument `model` must be a keras.Model. Received: model={described(model)}")
    if not model.built:
        raise ValueError(
            f"Argument `model` must have its weights. Received: model={model.name!r}, which has none yet. Begin it "
            "with `keras.Input(shape)`, or call it on a batch of data first."
        )


def _joined(blocks: list[LayerGroup]) -> LayerGroup:
    return tuple(layer for block in blocks for layer in block)
