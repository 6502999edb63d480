"""Functions and values as bytes that another process can load without the user's modules."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType


def pickled(value: object, of_user: Iterable[object]) -> bytes:
    """Return a value as bytes.

    Args:
        value: What is sent.
        of_user: The functions and classes in it that may be the user's. Their modules are sent with them.
    """
    import cloudpickle

    # The function inside a `functools.partial` is the one whose module matters.
    modules = {_user_module(getattr(one, "func", one)) for one in of_user} - {None}
    # By reference, the default, a process would have to import the module, which may not be on its path.
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(value))
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _user_module(function: object) -> ModuleType | None:
    """Return the module that defines a function, or None if it is an installed one or `__main__`."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if module is None or file is None or module.__name__ == "__main__" or module.__name__.startswith("onecycle."):
        return None
    installed = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
    return None if any(Path(file).is_relative_to(path) for path in installed) else module
