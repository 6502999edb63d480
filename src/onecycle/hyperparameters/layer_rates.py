"""What layers have rates of their own: the argument `layer_rates`, resolved to weights and their factors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations
from typing import TypeAlias

import keras

from onecycle.hyperparameters.layer_order import DEFAULT_DECAY, decayed_rates, require_weights
from onecycle.keras_support.layer_tree import layer_paths, own_weights, weights_to_train
from onecycle.results.layer_rates import SEPARATOR
from onecycle.suggestions.arguments import as_number, described

# A layer, its name or path, a pattern of these, or a group of any of them.
LayerKey: TypeAlias = "keras.layers.Layer | str | tuple[LayerKey, ...]"
LayerRatesArgument: TypeAlias = Mapping[LayerKey, float] | str | None

_WILDCARDS = "*?["
_SHOWN = 8  # names of layers in an error message


@dataclass(frozen=True)
class LayerRates:
    """The factors on the learning rate of a model's weights.

    Attributes:
        described: Pairs (layers as text, factor), in the order in which the user named them.
        weights: Pairs (weight, factor). Any other weight has factor 1.
    """

    described: tuple[tuple[str, float], ...] = ()
    weights: tuple[tuple[keras.Variable, float], ...] = ()

    def factors(self) -> dict[int, float]:
        """Return id of a weight -> factor, where it is not 1."""
        return {id(weight): factor for weight, factor in self.weights if factor != 1}

    def by_position(self, model: keras.Model) -> dict[str, float]:
        """Return the factors that are not 1 by the positions of layers, since names may differ between processes."""
        factors, layers = self.factors(), [layer for _, layer in layer_paths(model) if own_weights(layer)]
        found = {
            f"layer {number} ({type(layer).__name__})": [factors.get(id(weight), 1.0) for weight in own_weights(layer)]
            for number, layer in enumerate(layers)
        }
        # The weights of a layer differ only where it shares some with another layer.
        return {
            name: max(values, key=lambda value: abs(value - 1)) for name, values in found.items() if set(values) != {1}
        }


def resolve_layer_rates(
    model: keras.Model | None, layer_rates: object, decay: object = None, *, known: Iterable[keras.Variable] = ()
) -> LayerRates | None:
    """Return what the arguments `layer_rates` and `decay` say of a model, or None if they say nothing.

    Args:
        model: The model, or None if there is only an optimizer. A layer must then be named by itself.
        layer_rates: As in `schedule_hyperparameters`. What was resolved before is returned unchanged.
        decay: The same.
        known: The weights that an optimizer without a model updates.

    Raises:
        TypeError, ValueError: For an invalid argument.
    """
    if isinstance(layer_rates, LayerRates):
        return layer_rates
    if layer_rates is None or isinstance(layer_rates, str):
        layer_rates = _decayed(model, layer_rates, decay)
    elif decay is not None:
        raise ValueError(_ONLY_DECAY.format(layer_rates=described(layer_rates), decay=described(decay)))
    if layer_rates is None:
        return None
    if not isinstance(layer_rates, Mapping):
        raise TypeError(
            'Argument `layer_rates` must be a mapping of layers to factors, or "decay". '
            f"Received: layer_rates={described(layer_rates)}"
        )
    tree = _Tree(model, {id(weight) for weight in known})
    entries = [_Entry(tree, key, factor) for key, factor in layer_rates.items()]
    for first, second in combinations(entries, 2):
        _refuse_overlap(tree, first, second)
    weights = {id(weight): (weight, entry.factor) for entry in entries for weight in entry.weights}
    return LayerRates(tuple((entry.text, entry.factor) for entry in entries), tuple(weights.values()))


_ONLY_DECAY = (
    'Argument `decay` is the ratio of the rates of `layer_rates="decay"`. '
    "Received: layer_rates={layer_rates}, decay={decay}"
)


def _decayed(model: keras.Model | None, layer_rates: str | None, decay: object) -> Mapping[LayerKey, float] | None:
    """Return the factors of `layer_rates="decay"`; None if there is no such argument."""
    if layer_rates is None:
        if decay is not None:
            raise ValueError(_ONLY_DECAY.format(layer_rates=None, decay=described(decay)))
        return None
    if layer_rates != "decay":
        raise ValueError(
            'Argument `layer_rates` must be a mapping of layers to factors, or "decay". '
            f"Received: layer_rates={layer_rates!r}"
        )
    if model is None:
        raise ValueError(
            'The order of the layers is known for a model only. Pass the model to use `layer_rates="decay"`.'
        )
    return dict(decayed_rates(model, DEFAULT_DECAY if decay is None else decay))  # type: ignore[arg-type]  # checked


class _Tree:
    """The layers that can be named: those of a model, or any layer if there is only an optimizer."""

    def __init__(self, model: keras.Model | None, known: set[int]) -> None:
        if model is not None:
            require_weights(model)
        self.model, self._known = model, known
        self._paths = [] if model is None else layer_paths(model)
        self._path_of = {id(layer): path for path, layer in self._paths}

    def named(self, name: str) -> list[keras.layers.Layer]:
        """Return the layers of a pattern, or the one of a path or name."""
        if self.model is None:
            raise ValueError(
                "Layers can be named for a model only. Pass the layers themselves, or the model. "
                f"Received: {name!r} in `layer_rates` with an optimizer"
            )
        is_pattern = any(character in name for character in _WILDCARDS)
        by_path = [layer for path, layer in self._paths if path == name]
        found = by_path or [layer for path, layer in self._paths if _matches(path, name) or _matches(layer.name, name)]
        if not found:
            what = "The pattern matches" if is_pattern else "There is"
            raise ValueError(
                f"{what} no layer of model {self.model.name!r}: {name!r} in `layer_rates`. {self._names_of_layers()}"
            )
        if len(found) > 1 and not is_pattern:
            paths = ", ".join(repr(self.path_of(layer)) for layer in found[:_SHOWN])
            raise ValueError(f"Several layers have the name {name!r} in `layer_rates`: {paths}. Use the path of one.")
        return found

    def check_owned(self, layer: keras.layers.Layer) -> None:
        """Raise a ValueError for a layer of another model."""
        if self.model is not None:
            if layer is not self.model and id(layer) not in self._path_of:
                raise ValueError(
                    f"A layer in `layer_rates` must be one of the model. Received: {layer.name!r}, which is not in "
                    f"model {self.model.name!r}"
                )
        elif not any(id(weight) in self._known or not weight.trainable for weight in weights_to_train(layer)):
            raise ValueError(
                f"A layer in `layer_rates` must be one that the optimizer trains. Received: {layer.name!r}, of which "
                "the optimizer has no weights"
            )

    def path_of(self, layer: keras.layers.Layer) -> str:
        return self._path_of.get(id(layer), layer.name)

    def _names_of_layers(self) -> str:
        names = [path for path, layer in self._paths if weights_to_train(layer)]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"Its layers with weights are {', '.join(map(repr, names[:_SHOWN]))}{more}."


class _Entry:
    """One entry of `layer_rates`.

    Attributes:
        text: The key as text.
        factor: The factor.
        layers: The layers that it names, and those inside them, each once.
        weights: Their weights.
    """

    def __init__(self, tree: _Tree, key: object, factor: object) -> None:
        named = _named_layers(tree, key)
        self.text = _text(tree, key)
        self.factor = _checked_factor(self.text, factor)
        inside = [inner for layer in named for inner in (layer, *(one for _, one in layer_paths(layer)))]
        self.layers = list({id(layer): layer for layer in inside}.values())
        self.weights = [weight for layer in self.layers for weight in own_weights(layer)]


def _named_layers(tree: _Tree, key: object) -> list[keras.layers.Layer]:
    """Return the layers that a key names, which have weights that can be trained."""
    if isinstance(key, str):
        layers = tree.named(key)
        _require_trainable(key, layers)
        return layers
    if isinstance(key, keras.layers.Layer):
        tree.check_owned(key)
        _require_trainable(key.name, [key])
        return [key]
    if isinstance(key, tuple | frozenset) and key:
        return [layer for one in key for layer in _named_layers(tree, one)]
    raise TypeError(
        "A key of `layer_rates` must be a layer, the name of one, a pattern of names, or a tuple of these. "
        f"Received: {described(key)}"
    )


def _require_trainable(name: str, layers: Sequence[keras.layers.Layer]) -> None:
    if any(weights_to_train(layer) for layer in layers):
        return
    subject = f"Layer {name!r} in `layer_rates` has" if len(layers) == 1 else f"The layers of {name!r} have"
    built = "" if all(layer.built for layer in layers) else ", since it is not built"
    raise ValueError(f"{subject} no weights that can be trained{built}. Leave it out.")


def _refuse_overlap(tree: _Tree, first: _Entry, second: _Entry) -> None:
    """Raise a ValueError if two entries name the same layer, or give a weight that layers share two factors."""
    known = {id(layer) for layer in first.layers}
    for layer in second.layers:
        if id(layer) in known and own_weights(layer):
            raise ValueError(
                f"Layer {tree.path_of(layer)!r} is named twice in `layer_rates`: by {first.text!r} and by "
                f"{second.text!r}. Name it once."
            )
    shared = {id(weight) for weight in first.weights} & {id(weight) for weight in second.weights}
    if shared and first.factor != second.factor:
        weight = next(weight for weight in first.weights if id(weight) in shared)
        raise ValueError(
            f"The weight {weight.path!r} belongs to layers of {first.text!r} and of {second.text!r}, which have "
            f"different factors in `layer_rates`: {first.factor:g} and {second.factor:g}. Name one of them."
        )


def _checked_factor(text: str, factor: object) -> float:
    number = as_number(factor)
    # Written so that NaN is refused as well.
    if number is None or not 0 <= number < float("inf"):
        raise ValueError(
            f"A factor in `layer_rates` must be a number that is >= 0 and finite (0 leaves the weights as they are). "
            f"Received: {described(factor)} for {text!r}"
        )
    return float(number)


def _text(tree: _Tree, key: object) -> str:
    """Return a key as text: a name or pattern as it is, a layer by its path, a group by its members."""
    if isinstance(key, tuple | frozenset):
        return SEPARATOR.join(_text(tree, one) for one in key)
    return tree.path_of(key) if isinstance(key, keras.layers.Layer) else str(key)


def _matches(name: str, pattern: str) -> bool:
    """Return whether a name is the pattern or matches it. A name may itself have brackets."""
    return name == pattern or fnmatchcase(name, pattern)
