"""A compiled model as bytes, from which another process builds it again."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from onecycle.keras_support.layer_tree import layer_paths
from onecycle.keras_support.optimizers import all_optimizers, build_optimizer
from onecycle.keras_support.portable_state import variables_of
from onecycle.keras_support.snapshot import RandomSnapshot

REMEDY = "Register its classes and functions with `keras.saving.register_keras_serializable`, or race in this process."


@dataclass(frozen=True)
class SentModel:
    """A compiled model. Its state is sent apart, since Keras does not save all of it.

    Attributes:
        content: A file of Keras.
        custom_objects: The user's classes and functions in it, by the names that Keras looks up.
    """

    content: bytes
    custom_objects: dict[str, Any]

    @classmethod
    def of(cls, model: keras.Model) -> SentModel:
        """Return a model.

        Raises:
            ValueError: If Keras cannot save it, or the model that it loads is another one.
        """
        random = RandomSnapshot()
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "model.keras")
                model.save(path)
                sent = cls(path.read_bytes(), _custom_objects(model))
            loaded = sent.load()
            build_optimizer(loaded.optimizer, loaded)
            same = _shapes(loaded) == _shapes(model)
        except Exception as error:
            raise ValueError(f"Keras cannot send this model to another process. {REMEDY} The cause: {error}") from error
        finally:
            random.restore()
        if not same:
            raise ValueError(f"The model that another process would load has other variables than this one. {REMEDY}")
        return sent

    def load(self) -> keras.Model:
        """Return the model, built anew and compiled."""
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # Of variables that the file does not have; they get their values afterwards.
            warnings.simplefilter("ignore")
            path = Path(folder, "model.keras")
            path.write_bytes(self.content)
            # Our own file: code in it is the user's.
            return keras.saving.load_model(path, custom_objects=self.custom_objects, safe_mode=False)


def _custom_objects(model: keras.Model) -> dict[str, Any]:
    """Return the user's classes and functions that a file of the model refers to by name."""
    layers = [layer for _, layer in layer_paths(model)]
    used = [model, *all_optimizers(model), *keras.tree.flatten(model.loss), *model.metrics, *layers]
    found = [one if _is_function(one) else type(one) for one in used]
    named = {one.__name__: one for one in found} | keras.saving.get_custom_objects()
    named |= {keras.saving.get_registered_name(one): one for one in found}
    return {name: one for name, one in named.items() if not _is_known(one)}


def _is_function(one: object) -> bool:
    return callable(one) and hasattr(one, "__name__")


def _is_known(one: Any) -> bool:
    """Return whether a class or a function is of a package that every process has."""
    return str(one.__module__).partition(".")[0] in ("keras", "onecycle", "builtins", "keras_hub")


def _shapes(model: keras.Model) -> list[tuple[int, ...]]:
    return [tuple(variable.shape) for variable in variables_of(model)]
