"""The layers inside a model: their paths, their order, and the weights that they can train.

Private names of Keras, checked on Keras 3.15.1: `Layer._layers` and `Layer._trainable_variables`.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras


def layer_paths(model: keras.layers.Layer) -> list[tuple[str, keras.layers.Layer]]:
    """Return every layer inside a model or a layer with its path, each once and before the layers inside it.

    Args:
        model: The model or layer.

    Returns:
        Pairs (path, layer). The path has the names of the layers on the way from the model, separated by `/`:
        `"encoder/dense_1"`.
    """
    return list(_paths_below(model, "", {id(model)}))


def layers_from_input(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers with weights, in the order of `model.layers`, with those of nested models in their place.

    A composite layer, such as a transformer block, counts as one layer, and so does a nested model that has weights
    besides those of its layers.
    """
    found: list[keras.layers.Layer] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model) and not own_weights(layer):
            found += layers_from_input(layer)
        elif weights_to_train(layer):
            found.append(layer)
    return list({id(layer): layer for layer in found}.values())


def weights_to_train(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return the weights of a layer, and of those inside it, that can be trained, even if they are frozen now."""
    inside = [layer, *(inner for _, inner in _paths_below(layer, "", {id(layer)}))]
    weights = [weight for one in inside for weight in own_weights(one)]
    return list({id(weight): weight for weight in weights}.values())


def own_weights(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return the weights that a layer itself can train, even if they are frozen now, without those of its layers."""
    # Unlike `trainable_variables`, this does not become empty where `trainable` is False.
    return list(layer._trainable_variables)


def _paths_below(layer: keras.layers.Layer, path: str, seen: set[int]) -> Iterator[tuple[str, keras.layers.Layer]]:
    for inner in layer._layers:
        # A layer may hold the model that it is in.
        if id(inner) in seen:
            continue
        seen.add(id(inner))
        inner_path = f"{path}/{inner.name}" if path else inner.name
        yield inner_path, inner
        yield from _paths_below(inner, inner_path, seen)
