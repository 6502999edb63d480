"""Findings on what can be trained: no trainable weights, and layers that no gradient reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.finding.look import Look, NotChecked
from onecycle.keras_support.gradients import gradient_function, outputs_for
from onecycle.keras_support.model_checks import check_trainable
from onecycle.keras_support.model_state import flattened_layers, is_overridden
from onecycle.results.findings import Finding

# A gradient that is 0 in the first batch may be so by chance, as in a branch that is seldom used, or at the start only,
# as behind a layer of zeros. So further batches are tried, with the weights a little changed.
ATTEMPTS = 4
RELATIVE_NOISE, ABSOLUTE_NOISE = 0.01, 1e-3
MAX_NAMES = 3

Layers: TypeAlias = Mapping[str, Sequence[int]]  # name -> the numbers of its own trainable variables


def no_trainable_weights(look: Look) -> Finding | None:
    """Return a finding on a model whose training changes nothing."""
    try:
        check_trainable(look.model)
    except ValueError as error:
        description, _, remedy = str(error).partition(" Set ")
        return Finding(
            "no trainable weights",
            f"{description} Training would leave the model as it is.",
            f"Set {remedy}" if remedy else "Add layers that have weights.",
        )
    return None


def dead_layers(look: Look) -> Finding | None:
    """Return a finding on layers whose gradient is exactly zero in several batches, so that they never change."""
    look.require_usual_step()
    if not look.model.trainable_variables:
        raise NotChecked("the model has no trainable weights")
    dead = _layers_without_gradient(look)
    if not dead:
        return None
    all_layers = len(dead) == len(_own_variables(look.model))
    names = ", ".join(f"`{name}`" for name in list(dead)[:MAX_NAMES]) + (", ..." if len(dead) > MAX_NAMES else "")
    which = "every layer" if all_layers else f"{len(dead)} {'layer' if len(dead) == 1 else 'layers'} ({names})"
    return Finding(
        "no gradient",
        f"The gradient of the loss is exactly zero in {which}, in each of {ATTEMPTS} batches. The weights there never "
        "change, whatever the learning rate.",
        "Look for units that are always off (ReLU with large negative biases, or inputs that are too large), for "
        "activations that are saturated, for `stop_gradient`, and for layers that the outputs do not depend on.",
    )


def _layers_without_gradient(look: Look) -> Layers:
    model, random = look.model, np.random.default_rng(0)
    layers = dict(_own_variables(model))
    if not is_overridden(model, "compute_loss"):
        look.loss_parts()  # builds the compiled loss
    gradients = gradient_function(model)
    for attempt in range(ATTEMPTS):
        if attempt:
            _shake(model.trainable_variables, random)
        found = gradients(look.probe(attempt))
        layers = {name: own for name, own in layers.items() if all(_is_zero(found[number]) for number in own)}
        if not layers:
            break
    return {name: own for name, own in layers.items() if not _reaches_output_without_loss(look, own, random)}


def _own_variables(model: keras.Model) -> Layers:
    """Return name of a layer -> the numbers of the trainable variables that it holds itself."""
    owners: dict[int, keras.layers.Layer] = {}
    # Inner layers come after those that contain them.
    for layer in flattened_layers(model):
        owners |= {id(variable): layer for variable in layer.trainable_variables}
    names: dict[str, list[int]] = {}
    for number, variable in enumerate(model.trainable_variables):
        names.setdefault(owners[id(variable)].name, []).append(number)
    return names


def _shake(variables: Sequence[keras.Variable], random: np.random.Generator) -> None:
    """Add a little noise to variables."""
    for variable in variables:
        values = np.asarray(keras.ops.convert_to_numpy(variable.value), dtype=np.float32)
        scale = RELATIVE_NOISE * float(values.std()) + ABSOLUTE_NOISE
        variable.assign(values + scale * random.normal(size=values.shape).astype("float32"))


def _is_zero(gradient: keras.KerasTensor | None) -> bool:
    return gradient is None or not keras.ops.convert_to_numpy(keras.ops.any(gradient != 0))


def _reaches_output_without_loss(look: Look, own: Sequence[int], random: np.random.Generator) -> bool:
    """Return whether an output that has no loss, and so is not to be trained, depends on these variables."""
    model = look.model
    if is_overridden(model, "compute_loss"):
        return False
    trained = {part.output for part in look.loss_parts() if part.weight != 0}
    if None in trained:  # targets were matched in another way
        return False
    x = look.probe()[0]

    def free_outputs() -> list[NDArray[np.generic]]:
        outputs = keras.tree.flatten(outputs_for(model, x))
        return [keras.ops.convert_to_numpy(one) for number, one in enumerate(outputs) if number not in trained]

    before = free_outputs()
    _shake([model.trainable_variables[number] for number in own], random)
    return any((one != other).any() for one, other in zip(before, free_outputs(), strict=True))
