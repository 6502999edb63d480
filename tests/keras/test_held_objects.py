"""What a model holds is found: through attributes, containers, objects of the user's and nested models."""

import collections
import logging
import types

import keras
import numpy as np
import pytest

from onecycle.keras_support.held_objects import held_objects
from onecycle.keras_support.optimizers import all_optimizers, held_optimizers

SGD = keras.optimizers.SGD


class Holder(keras.Model):
    """A model that holds what it is given under the name `held`, beside one layer."""

    def __init__(self, held):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.held = held

    def call(self, inputs):
        return self.dense(inputs)


class Plain:
    """An object of the user's own class."""

    def __init__(self, held):
        self.held = held


def nested(held):
    """Return a model with a compiled model inside, whose optimizer is the given one."""
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    inner.compile(held, "mse")
    return inner


PLACES = {
    "attribute": lambda one: one,
    "list": lambda one: [[one]],
    "tuple": lambda one: (one,),
    "dict": lambda one: {"discriminator": {"optimizer": one}},
    "deque": lambda one: collections.deque([one]),
    "object": lambda one: Plain([one]),
    "namespace": lambda one: types.SimpleNamespace(one=one),
    "model": lambda one: Holder([one]),
    "compiled model": nested,
}


@pytest.mark.parametrize("place", PLACES)
def test_optimizers_are_found_wherever_a_model_holds_them(place):
    """An optimizer in an attribute, a container, an object or a nested model comes after that of `compile`, once."""
    held = SGD(0.5)
    model = Holder([PLACES[place](held), PLACES[place](held)])
    model.compile(SGD(0.1), "mse")
    assert held_optimizers(model) == [model.optimizer, held]


def test_a_model_may_hold_the_optimizer_of_compile_twice():
    """The optimizer of `compile` that is an attribute too is listed once."""
    optimizer = SGD(0.1)
    model = Holder({"optimizer": optimizer})
    model.compile(optimizer, "mse")
    assert held_optimizers(model) == [optimizer]


def test_a_wrapper_stands_for_the_optimizers_inside_it():
    """The optimizer inside a `LossScaleOptimizer` is listed by `all_optimizers` only, even where the model holds it."""
    inner, other = SGD(0.5), SGD(0.2)
    wrapper = keras.optimizers.LossScaleOptimizer(inner)
    model = Holder([inner, wrapper])
    model.compile(other, "mse")
    assert held_optimizers(model) == [other, wrapper]
    assert all_optimizers(model) == [other, wrapper, inner]


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="new in Keras 3.15")
def test_a_held_multi_optimizer_counts_with_those_that_it_will_select():
    """A `MultiOptimizer` that is an attribute and is not built yet is found, and so is what it selects."""
    inner, other = SGD(0.5), SGD(0.2)
    model = Holder(keras.optimizers.MultiOptimizer(lambda variable: inner))
    model.compile(other, "mse")
    model(np.zeros((1, 3)))
    assert held_optimizers(model) == [other, model.held]
    assert all_optimizers(model) == [other, model.held, inner]


def test_objects_of_other_libraries_are_not_searched():
    """Data sets, callbacks, functions and objects of the standard library are found, but not what they hold."""
    array = np.zeros(3)
    callback, logger = keras.callbacks.History(), logging.Logger("a logger")
    callback.array = logger.array = array
    found = held_objects(Plain([callback, logger, lambda: array]))
    assert callback in found
    assert not any(one is array for one in found)


def test_circles_end():
    """Objects that hold each other are listed once."""
    one, other = Plain(None), Plain(None)
    one.held, other.held = other, [one]
    assert [held for held in held_objects(one) if isinstance(held, Plain)] == [one, other]
