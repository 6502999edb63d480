"""The rooms of design.md, section 5, read from the imports of the source."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
FILES = sorted(path for path in (SOURCE / "onecycle").rglob("*.py"))

PURE = ("curves", "suggestions", "smoothing", "results")
RENDER = ("plot", "report")
# They bring the rooms together, inside their functions.
ENTRY = ("", "__main__", "cli", "commands", "demo")
# The only places that know what is private to Keras, and what differs by backend.
INTERNALS = ("keras_internals",)
BACKEND_ROOMS = ("keras_internals", "backends")
BACKENDS = ("jax", "tensorflow", "torch")
# Results are drawn by render, which imports them: `result.plot()` opens that door only when it is called.
DOORS = {f"onecycle.{name}": RENDER for name in ("results", "_comparison", "_result", "_sweep")}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def name_of(path):
    """The module's dotted name: `onecycle.plot.draw`."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}
each_module = pytest.mark.parametrize("module", MODULES)


def room(module):
    """The part of the name that says which room the module is in: `plot` of `onecycle.plot.draw`."""
    return module.removeprefix("onecycle").removeprefix(".").split(".")[0]


@cache
def tree(module):
    """The module's syntax tree, without what only type checkers read."""
    parsed = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in ast.walk(parsed):
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            node.body = [ast.Pass()]
    return parsed


def imports(module, *, at_start_only=False):
    """The dotted names that a module imports; with `at_start_only` those that its own import needs."""
    found = set()
    waiting = [tree(module)]
    while waiting:
        node = waiting.pop()
        if at_start_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are written in full here"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
        waiting += ast.iter_child_nodes(node)
    return found


def packages(module):
    """The top-level packages that a module imports anywhere, doors left out."""
    doors = DOORS.get(module, ())
    return {
        name.split(".")[0] for name in imports(module) if not (name.startswith("onecycle.") and room(name) in doors)
    }


def pure_modules():
    """The pure modules, and what of onecycle they import in turn."""
    found, waiting = set(), [f"onecycle.{name}" for name in PURE]
    while waiting:
        module = waiting.pop()
        if module in found or room(module) in DOORS.get("onecycle.results", ()):
            continue
        found.add(module)
        waiting += [name for name in imports(module) if name.startswith("onecycle.")]
    return sorted(found)


@pytest.mark.parametrize("module", pure_modules())
def test_pure_modules_need_numpy_and_the_standard_library_only(module):
    """A pure module, and whatever of onecycle it imports, imports nothing but numpy and the standard library."""
    assert packages(module) <= {*sys.stdlib_module_names, "numpy", "onecycle"}


@each_module
def test_render_never_meets_keras(module):
    """A render module imports no keras, nor a module of onecycle that does."""
    if room(module) not in RENDER:
        return
    reached, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        assert name.split(".")[0] not in {"keras", *BACKENDS}
        if name in MODULES and name not in reached:
            reached.add(name)
            waiting += imports(name)


@each_module
def test_keras_never_meets_render(module):
    """A module that trains imports neither a render module nor matplotlib."""
    if room(module) in (*RENDER, *ENTRY) or module in DOORS:
        return
    assert "matplotlib" not in packages(module)
    assert not {room(name) for name in imports(module) if name.startswith("onecycle.")} & {*RENDER, "cli", "commands"}


@each_module
def test_private_keras_stays_in_one_file(module):
    """Only keras_internals imports keras.src."""
    private = [name for name in imports(module) if name.startswith("keras.src")]
    assert not private or room(module) in INTERNALS


@each_module
def test_backends_differ_in_one_room(module):
    """Only keras_internals and backends import a backend or ask Keras which one it runs on."""
    if room(module) in BACKEND_ROOMS:
        return
    assert not packages(module) & {*BACKENDS, "jaxlib"}
    if room(module) in ENTRY:
        return
    asked = [ast.unparse(node) for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)]
    assert not [text for text in asked if text in {"keras.backend.backend", "keras.config.backend"}]
    words = [node.value for node in ast.walk(tree(module)) if isinstance(node, ast.Constant)]
    assert not set(BACKENDS) & {word for word in words if isinstance(word, str)}


@each_module
def test_no_file_is_too_long(module):
    """No file has more than 400 lines."""
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


@each_module
def test_no_function_is_too_long(module):
    """No function has more than 60 lines, its docstring apart."""
    lengths = {}
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            told = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
            lengths[node.name] = node.end_lineno - node.lineno + 1 - told
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


def test_no_module_imports_itself_in_a_circle():
    """The modules' imports, as far as importing them needs, make no circle."""
    done, path = set(), []

    def visit(module):
        assert module not in path, " -> ".join([*path, module])
        if module in done:
            return
        path.append(module)
        for name in sorted(imports(module, at_start_only=True)):
            # A package's first file may gather what is in it.
            if name in MODULES and not module.startswith(f"{name}."):
                visit(name)
        done.add(path.pop())

    for module in MODULES:
        visit(module)
