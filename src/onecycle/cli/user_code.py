"""Finds a person's own code: MODULE:FUNCTION, whose function returns `(model, x, y)` or `(model, dataset)`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from onecycle.commands.console import WrongUse

FORM = "(model, x, y) or (model, dataset)"


@dataclass(frozen=True)
class Subject:
    """A person's compiled model and data; `y` is None where `x` is a data set that holds its targets."""

    model: Any
    x: Any
    y: Any


def load_subject(name: str, seed: int | None = None) -> Subject:
    """Import MODULE (or FILE.py), call FUNCTION, and check what it returns.

    With a seed everything random is seeded before the call, so that the model starts with the same weights each time.
    """
    place, _, function = name.rpartition(":")
    if not place or not function:
        raise WrongUse(f"Name your code as MODULE:FUNCTION or FILE.py:FUNCTION. Received: {name!r}")
    make = find_function(import_place(place), function, place)
    if seed is not None:
        import keras

        keras.utils.set_random_seed(seed)
    try:
        returned = make()
    except Exception as error:
        raise RuntimeError(f"{name} raised {type(error).__name__}: {error}") from error
    return checked(returned, name)


def import_place(place: str) -> ModuleType:
    """Import a module by its dotted name, seen from the current folder, or by the path of its file."""
    if place.endswith(".py"):
        return import_file(Path(place))
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        # Only the module asked for, not one that it needs in turn.
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise
        raise WrongUse(
            f"There is no module {place!r} here: run from the folder that holds it, or give the path of its file, "
            "such as path/to/file.py:function."
        ) from error


def import_file(path: Path) -> ModuleType:
    """Import a file of Python; modules beside it can be imported by it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise WrongUse(f"There is no file {path}: give the path of a Python file, such as path/to/file.py:function.")
    sys.path.insert(0, str(path.resolve().parent))
    module = importlib.util.module_from_spec(spec)
    # Keras and pickle look a class up by its module's name.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def find_function(module: ModuleType, function: str, place: str) -> Callable[[], Any]:
    """Return the module's function of that name."""
    found = getattr(module, function, None)
    if not callable(found):
        offered = sorted(
            name
            for name, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", None) == module.__name__
        )
        hint = f"it has {', '.join(offered)}" if offered else "it has no function at all"
        raise WrongUse(f"There is no function {function!r} in {place}: {hint}.")
    return found


def checked(returned: Any, name: str) -> Subject:
    """Return the model and data, or say what is wrong with what the function returned."""
    import keras

    if not isinstance(returned, tuple) or len(returned) not in (2, 3):
        what = f"a tuple of {len(returned)}" if isinstance(returned, tuple) else type(returned).__name__
        raise WrongUse(f"{name} must return {FORM}. Received: {what}")
    model, x, *rest = returned
    if not isinstance(model, keras.Model):
        raise WrongUse(f"{name} must return {FORM}, the first a Keras model. Received: {type(model).__name__}")
    if not model.compiled:
        raise WrongUse(f"{name} must return a compiled model: call model.compile(optimizer, loss) in it first.")
    return Subject(model, x, rest[0] if rest else None)
