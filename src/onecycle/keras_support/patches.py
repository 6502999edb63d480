"""Training without what other packages have put around `fit`, `evaluate` and the steps of PyTorch.

Experiment trackers replace `keras.Model.fit` by a function that opens a run, adds callbacks and calls the original.
What onecycle trains to measure something, and undoes afterwards, is no training that a tracker should log.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import TypeAlias

import keras

from onecycle.keras_support.attributes import set_untracked, unset_untracked

Method: TypeAlias = Callable[..., object]

_METHODS = ("fit", "evaluate")


@contextmanager
def unpatched(model: keras.Model) -> Iterator[None]:
    """Let the methods that train a model be as their authors wrote them, until the block ends."""
    patches = Patches(model)
    try:
        patches.remove()
        yield
    finally:
        patches.restore()


class Patches:
    """What other packages have put around the training of a model, to be removed for a while.

    A method that the model's own class overrides is called, with its decorators, and so is Keras' method when the
    override calls `super()`. The classes themselves are changed meanwhile, since `super()` reads them.

    Args:
        model: The model.
    """

    def __init__(self, model: keras.Model) -> None:
        # A patch of the list's constructor would add callbacks to every `fit`.
        places: list[tuple[type, str]] = [(keras.callbacks.CallbackList, "__init__")]
        places += [(cls, name) for cls in type(model).__mro__ for name in _METHODS if name in vars(cls)]
        if keras.backend.backend() == "torch":
            import torch

            # Comet logs each loss whose gradient is computed.
            places.append((torch.Tensor, "backward"))
        self._model = model
        self._replaced = [
            (cls, name, vars(cls)[name], original)
            for cls, name in places
            if (original := _class_original(cls, name)) is not vars(cls)[name]
        ]
        self._on_instance = {name: vars(model)[name] for name in _METHODS if _is_patched_instance(model, name)}

    def remove(self) -> None:
        """Have the methods called without the patches."""
        for cls, name, _, original in self._replaced:
            _set(cls, name, original)
        unset_untracked(self._model, *self._on_instance)

    def restore(self) -> None:
        """Restore the patches. A second call does nothing."""
        set_untracked(self._model, **self._on_instance)
        for cls, name, patched, original in self._replaced:
            # A patch that was applied or removed in the meantime stays as it is.
            if vars(cls).get(name) is original:
                _set(cls, name, patched)


def _set(cls: type, name: str, method: Method | None) -> None:
    """Set a method of a class; None removes it, so that the class inherits it again."""
    if method is not None:
        setattr(cls, name, method)
    elif name in vars(cls):
        delattr(cls, name)


def _class_original(cls: type, name: str) -> Method | None:
    """Return a method of a class without patches; None if the class had no such method before it was patched."""
    layers = _layers(vars(cls)[name], name)
    # The models of Keras inherit these methods, and a patch need not show what it calls.
    if issubclass(cls, keras.Model) and _package(cls) == "keras" and _package(layers[-1]) != "keras":
        return None
    return layers[max(0, len(layers) - 1 - _count_decorators(layers))]


def _is_patched_instance(model: keras.Model, name: str) -> bool:
    """Return whether a method of one model is replaced by a function that calls the method of its class."""
    if name not in vars(model):
        return False
    innermost = _layers(vars(model)[name], name)[-1]
    wraps_own = isinstance(innermost, MethodType) and innermost.__self__ is model
    return wraps_own or innermost in (layer for cls in type(model).__mro__ for layer in _class_layers(cls, name))


def _class_layers(cls: type, name: str) -> list[Method]:
    return _layers(vars(cls)[name], name) if name in vars(cls) else []


def _layers(method: Method, name: str) -> list[Method]:
    """Return a method and the methods of the same name inside it, from the outermost to the innermost."""
    found = [method]
    while (inner := _inner(found[-1], name)) is not None and inner not in found:
        found.append(inner)
    return found


def _inner(method: Method, name: str, seen: frozenset[int] = frozenset()) -> Method | None:
    """Return the method that a wrapper calls: the one it names itself, or one among its variables.

    Args:
        method: The wrapper.
        name: The name of the innermost method. Those between the two may have other names.
        seen: The ids of the wrappers that have been searched.
    """
    wrapped: Method | None = getattr(method, "__wrapped__", None)
    if wrapped is not None:
        return wrapped
    seen |= {id(method)}
    for cell in getattr(method, "__closure__", None) or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        if not inspect.isroutine(value) or id(value) in seen:
            continue
        if value.__name__ == name or _inner(value, name, seen) is not None:
            return value
    return None


def _count_decorators(layers: list[Method]) -> int:
    """Return how many layers belong to the innermost method, because its author wrote them as decorators."""
    try:
        definition = ast.parse(textwrap.dedent(inspect.getsource(layers[-1]))).body[0]
    except (OSError, TypeError, SyntaxError):
        # Without the source, what comes from another package is taken for a patch.
        return sum(_package(layer) == _package(layers[-1]) for layer in layers[:-1])
    return len(getattr(definition, "decorator_list", ()))


def _package(definition: Method | type) -> str:
    """Return the top-level package in which a function or a class is defined."""
    # A wrapper may have the `__module__` of what it wraps.
    variables = getattr(definition, "__globals__", None)
    module = definition.__module__ if isinstance(definition, type) else type(definition).__module__
    return (module if variables is None else str(variables["__name__"])).partition(".")[0]
