"""Private names of Keras are used in keras_support and hyperparameters only, read from the source.

A private attribute is one whose name begins with a single underscore. One that no class or module of onecycle defines
belongs to someone else, and so does the dictionary behind an object of Keras.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "onecycle"
MODULES = {path.relative_to(SOURCE).as_posix(): path for path in sorted(SOURCE.rglob("*.py"))}
ALLOWED_PACKAGES = ("keras_support", "hyperparameters")
OTHERS = [module for module in MODULES if module.split("/")[0] not in ALLOWED_PACKAGES]
each_module = pytest.mark.parametrize("module", OTHERS)

# Names that Keras' models, optimizers and variables have too: only `self` may have one of these.
OF_KERAS = {"_history", "_learning_rate", "_losses", "_metrics", "_model", "_optimizer", "_variables"}

# Private names of the standard library that have no public twin.
OF_PYTHON = {"os._exit"}

# Modules that read the attributes of objects other than those of Keras, by `vars` or `__dict__`: whose they are.
DICTIONARY_READERS = {
    "cli/user_code.py": "the module with the user's functions",
    "comparison/arms.py": "a CycleSpec",
    "workers/process.py": "a WorkerSetup",
}


@cache
def tree(module):
    """Return the module's syntax tree."""
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def is_private(name):
    """Return whether a name begins with a single underscore."""
    return name.startswith("_") and not name.startswith("__") and name != "_"


@cache
def defined_names():
    """Return the private names that onecycle defines: functions, classes, module constants and attributes of `self`."""
    names = set()
    for module in MODULES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
                names.add(node.attr)
    return {name for name in names if is_private(name)}


def is_self(node):
    """Return whether a node is `self` or `cls`."""
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def foreign_attributes(source):
    """Return the private attributes in a syntax tree that onecycle does not define, with their line numbers."""
    found = []
    for node in ast.walk(source):
        if isinstance(node, ast.Attribute) and ast.unparse(node) not in OF_PYTHON:
            name = node.attr
        elif is_call_of(node, "getattr", "setattr", "hasattr", "delattr") and isinstance(node.args[1], ast.Constant):
            name = node.args[1].value
        else:
            continue
        # Attributes of `self` that share a name with one of Keras, such as `self._model`, are our own.
        ours = name in defined_names() and (name not in OF_KERAS or is_self(getattr(node, "value", None)))
        if is_private(name) and not ours:
            found.append((name, node.lineno))
    return found


def dictionary_reads(source):
    """Return the line numbers of calls of `vars` and uses of `__dict__` on anything but `self`."""
    return [
        node.lineno
        for node in ast.walk(source)
        if (is_call_of(node, "vars") and not (node.args and is_self(node.args[0])))
        or (isinstance(node, ast.Attribute) and node.attr == "__dict__" and not is_self(node.value))
        or (isinstance(node, ast.Constant) and node.value == "__dict__")
    ]


def is_call_of(node, *names):
    """Return whether a node calls one of some functions by name."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


@each_module
def test_private_attributes_are_those_of_onecycle(module):
    """Outside the two packages every private attribute is one that onecycle itself defines."""
    assert foreign_attributes(tree(module)) == []


@each_module
def test_nobody_reads_the_dictionary_of_a_keras_object(module):
    """Outside the two packages `vars` and `__dict__` are used only where another object is read: see the list."""
    assert bool(dictionary_reads(tree(module))) == (module in DICTIONARY_READERS)


@pytest.mark.parametrize(
    "line",
    [
        "optimizer._iterations",
        "getattr(model, '_compile_loss', None)",
        "hasattr(a.b, '_jax_state')",
        "self._loss_tracker",
        "optimizer._learning_rate",
        "getattr(optimizer, '_variables')",
    ],
)
def test_a_private_name_of_keras_is_found(line):
    """The check finds an attribute access, `getattr` and `hasattr`, on any object."""
    assert len(foreign_attributes(ast.parse(line))) == 1


@pytest.mark.parametrize("line", ["vars(model)", "vars()", "optimizer.__dict__", "getattr(model, '__dict__')"])
def test_a_dictionary_is_found(line):
    """The check finds `vars` and `__dict__`."""
    assert len(dictionary_reads(ast.parse(line))) == 1


def test_the_check_knows_names_of_onecycle():
    """Names that onecycle defines are no findings, and neither are special methods."""
    assert foreign_attributes(ast.parse("schedule._momentum_curve(1, 0), self._curve, kind.__name__")) == []
    assert dictionary_reads(ast.parse("vars(self), self.__dict__")) == []
