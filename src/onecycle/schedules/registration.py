"""Registers the schedules with Keras as soon as both packages are imported, in either order.

A saved model names its schedule as `onecycle>OneCycle`, and Keras looks the name up in a dict. Importing
keras to fill this dict would make `import onecycle` slow. So the dict is filled when keras is imported, with objects
that import a schedule's module once a saved schedule is read.
"""

from __future__ import annotations

import sys
from importlib import import_module, util
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from onecycle.schedules.base import Schedule

# The module of each class that Keras can save.
SAVED_CLASSES = {
    "CyclicalLearningRate": "cyclical",
    "MomentumSchedule": "momentum",
    "OneCycle": "one_cycle",
    "OneCycleFastai": "peers",
    "OneCycleOptax": "peers",
    "OneCyclePyTorch": "peers",
    "WarmupLinearDecay": "warmup",
    "WarmupStableDecay": "warmup",
}


def register_with_keras() -> None:
    """Register the schedules now if keras is imported, or else when it is. A second call does nothing."""
    keras = sys.modules.get("keras")
    # While keras is being imported, it has no `saving` yet.
    if hasattr(keras, "saving"):
        _register()
    elif not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())


class SavedClass:
    """Stands for a schedule class in Keras' dict until the class is imported, which then takes its place.

    Args:
        name: The name of the class.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def from_config(self, config: dict[str, object]) -> Schedule:
        """Import the class and return the schedule of a config. Keras calls this when it reads a saved schedule."""
        module = import_module(f"onecycle.schedules.{SAVED_CLASSES[self.name]}")
        schedule: Schedule = getattr(module, self.name).from_config(config)
        return schedule


class _KerasFinder(MetaPathFinder):
    """Finds keras by means of the other finders, and registers the schedules once it has been imported."""

    def __init__(self) -> None:
        self._searching = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of keras, whose loader will register the schedules; None for any other module."""
        if fullname != "keras" or self._searching:
            return None
        self._searching = True
        try:
            spec = util.find_spec(fullname)
        finally:
            self._searching = False
        if spec is not None and spec.loader is not None:
            self._register_after(spec.loader)
        return spec

    def _register_after(self, loader: Loader) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _register()

        # On the instance: the loader keeps its class and its other methods, such as those that read the source.
        loader.exec_module = exec_module  # type: ignore[method-assign]


def _register() -> None:
    objects = sys.modules["keras"].saving.get_custom_objects()
    for name in SAVED_CLASSES:
        objects.setdefault(f"onecycle>{name}", SavedClass(name))
