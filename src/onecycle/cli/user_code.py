"""Importing and calling a function of the user's code, given as MODULE:FUNCTION or FILE.py:FUNCTION."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from onecycle.cli.console import UsageError
from onecycle.cli.error_text import cause
from onecycle.keras_support.quiet_import import import_keras, without_log_lines

if TYPE_CHECKING:
    import keras

RETURN_FORMS = "(model, x, y), (model, train) or (model, train, validation)"


@dataclass(frozen=True)
class ModelAndData:
    """A compiled model and its data.

    Attributes:
        model: The compiled model.
        x: The inputs, or a data set that includes the targets.
        y: The targets; None if `x` includes them.
        sample_weight: The weights of the rows, or None.
        validation_data: As in `fit`, or None.
    """

    model: keras.Model
    x: Any
    y: Any = None
    sample_weight: Any = None
    validation_data: Any = None


def load_model_and_data(name: str, seed: int | None = None) -> ModelAndData:
    """Call the user's function and return the model and data.

    Args:
        name: The function, as MODULE:FUNCTION or FILE.py:FUNCTION.
        seed: Random seed that is set before the call, so that the initial weights are reproducible. None sets none.

    Raises:
        UsageError: If there is no such function, or it returns something else.
        RuntimeError: If the function raises an exception.
    """
    return check_model_and_data(call_user_function(name, seed), name)


def check_batch_size(user: ModelAndData, batch_size: int | None) -> None:
    """Raise a `UsageError` for `--batch-size` beside a data set, whose batches `fit` takes as they are."""
    from onecycle.keras_support.training_data import is_arrays

    if batch_size is not None and user.y is None and not is_arrays(user.x):
        raise UsageError(
            "Option --batch-size is for arrays, and this data comes in batches: leave the option out, or change the "
            f"batches in your function. Received: --batch-size {batch_size} and a {type(user.x).__name__}"
        )


def check_function_name(name: str) -> None:
    """Raise a `UsageError` for a name of another form, and for a file that does not exist, before Keras is imported."""
    # From the right, because a path on Windows has a colon too.
    module_or_file, _, function_name = name.rpartition(":")
    if not module_or_file or not function_name:
        raise UsageError(f"The function must have the form MODULE:FUNCTION or FILE.py:FUNCTION. Received: {name!r}")
    if module_or_file.endswith(".py"):
        check_file(Path(module_or_file))
    elif module_or_file.startswith("."):
        raise UsageError(f"The module must have its full name, without a dot at the start. Received: {name!r}")
    elif "." not in module_or_file and not _is_module(module_or_file):
        raise UsageError(no_module_message(module_or_file))


def call_user_function(name: str, seed: int | None = None) -> object:
    """Import and call the user's function, and return what it returns. Arguments as in `load_model_and_data`."""
    check_function_name(name)
    module_or_file, _, function_name = name.rpartition(":")
    function = find_function(import_user_module(module_or_file), function_name, module_or_file)
    if seed is not None:
        import_keras(seeded=True)
        from onecycle.keras_support.random_state import seed_generators

        seed_generators(seed)
    with named_exits(name):
        try:
            return function()
        except Exception as error:
            # A ValueError of the user's code is not wrong usage of the command.
            raise RuntimeError(f"{name} raised {cause(error, named=True)}") from error


def import_user_module(module_or_file: str) -> ModuleType:
    """Import a Python file by its path, or a module by its dotted name from the current folder or `sys.path`.

    Raises:
        UsageError: If there is no such module, or it is not valid Python.
    """
    try:
        with named_exits(module_or_file), without_log_lines():
            is_file = module_or_file.endswith(".py")
            return import_file(Path(module_or_file)) if is_file else import_by_name(module_or_file)
    except SyntaxError as error:
        # The error may be in a module that the user's module imports.
        file = getattr(error, "filename", None) or module_or_file
        line = getattr(error, "lineno", None)
        place = file if line is None else f"{file}, line {line},"
        raise UsageError(f"{place} is not valid Python: {getattr(error, 'msg', error)}.") from error


def import_by_name(module_name: str) -> ModuleType:
    """Import a module by its dotted name from the current folder or `sys.path`."""
    find_in_current_folder()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that the user's module imports in turn is an error in the user's code.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise UsageError(no_module_message(module_name)) from error


def _is_module(name: str) -> bool:
    find_in_current_folder()
    return name in sys.modules or importlib.util.find_spec(name) is not None


def find_in_current_folder() -> None:
    """Let Python find modules in the current folder, as `python -m` does."""
    current = str(Path.cwd())
    if current not in sys.path:
        sys.path.insert(0, current)


def no_module_message(name: str) -> str:
    """Return the message for a module that does not exist."""
    return (
        f"There is no module {name!r}. Run the command from the folder of the module, or give the path of the file, "
        "such as path/to/file.py:function."
    )


def check_file(path: Path) -> None:
    """Raise a `UsageError` if there is no such file."""
    if not path.is_file():
        raise UsageError(f"There is no file {path}. Give the path of a Python file, such as path/to/file.py:function.")


def import_file(path: Path) -> ModuleType:
    """Import a Python file, which may import the modules beside it."""
    check_file(path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:  # only for other suffixes than .py
        raise UsageError(f"{path} is not a Python file.")
    # As for a script that Python runs.
    sys.path.insert(0, str(path.resolve().parent))
    module = importlib.util.module_from_spec(spec)
    # Keras and pickle look up a class by the name of its module.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def named_exits(name: str) -> Iterator[None]:
    """Raise a RuntimeError for `sys.exit` in the user's code, which would otherwise look like success.

    Args:
        name: The module or function that is run.
    """
    try:
        yield
    except SystemExit as end:
        code = "" if end.code is None else repr(end.code)
        raise RuntimeError(f"{name} ended the process with sys.exit({code})") from end


def find_function(module: ModuleType, function_name: str, module_or_file: str) -> Callable[[], object]:
    """Return a function of a module.

    Args:
        module: The imported module.
        function_name: Name of the function.
        module_or_file: The module as the user named it, for the error message.

    Raises:
        UsageError: If there is no such function; the message lists those of the module.
    """
    function = getattr(module, function_name, None)
    if callable(function):
        return function
    defined = sorted(
        name
        for name, value in vars(module).items()
        # Not what the module imports.
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    )
    hint = f"Its functions are: {', '.join(defined)}." if defined else "It defines no functions."
    raise UsageError(f"There is no function {function_name!r} in {module_or_file}. {hint}")


def check_model_and_data(returned: object, name: str) -> ModelAndData:
    """Return the model and data that the user's function returned, or raise a `UsageError` if they are not."""
    import keras

    if not isinstance(returned, tuple) or len(returned) not in (2, 3):
        raise UsageError(f"{name} must return {RETURN_FORMS}. Received: {describe_returned(returned)}")
    model, *data = returned
    if not isinstance(model, keras.Model):
        raise UsageError(f"{name} must return {RETURN_FORMS}, with a Keras model. Received: {type(model).__name__}")
    if not model.compiled:
        raise UsageError(f"{name} must return a compiled model. Call model.compile(optimizer, loss) in it first.")
    return _read_data(model, *data)


def _read_data(model: keras.Model, first: object, second: object = None) -> ModelAndData:
    """Return the data in its parts: `first` and `second` are x and y, or the training data and the validation data."""
    from onecycle.keras_support.training_data import is_arrays

    if not is_arrays(first):  # a data set includes its targets
        return ModelAndData(model, first, validation_data=second)
    if _is_split(model, first) and (second is None or _is_split(model, second) or not is_arrays(second)):
        return ModelAndData(model, *first, validation_data=second)  # type: ignore[misc]  # a tuple, as checked
    return ModelAndData(model, first, second)


def _is_split(model: keras.Model, data: object) -> bool:
    """Return whether data is a tuple (x, y) or (x, y, sample_weight), and not the inputs of a model with several."""
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        return False
    inputs = getattr(model, "inputs", None)
    # A model with several inputs takes them as a tuple too, but as one of arrays.
    return inputs is None or len(inputs) == 1 or isinstance(data[0], tuple | list | dict)


def describe_returned(returned: object) -> str:
    """Describe a value of the wrong type for an error message."""
    if isinstance(returned, tuple):
        return f"a tuple ({', '.join(type(item).__name__ for item in returned)})"
    return type(returned).__name__
