"""The packages of docs/design.md and the direction of their imports, read from the source."""

import ast
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
FILES = sorted(path for path in (SOURCE / "onecycle").rglob("*.py"))

# A package may import the packages on the lines below it. BESIDE lists the imports allowed within a line.
LAYERS = (
    ("cli",),
    ("report", "plot", "comparison", "tasks"),
    ("training", "finding"),
    ("engine", "workers"),
    ("hyperparameters",),
    ("schedules",),
    ("keras_support",),
    ("results",),
    ("suggestions",),
)
# Training finds its peak, and a race trains with cycles: their modules make no circle, as a test below checks.
BESIDE = {("training", "finding"), ("finding", "training"), ("comparison", "tasks"), ("report", "plot")}
RANK = {package: rank for rank, layer in enumerate(reversed(LAYERS)) for package in layer}
ROOT_FILES = {"__init__.py", "__main__.py", "py.typed"}
NO_KERAS = ("results", "suggestions", "plot", "report")
# Modules of other packages that are evaluated without keras too.
PURE_MODULES = tuple(f"onecycle.schedules.{name}" for name in ("curves", "phases", "curve_tables", "sampling"))
# `result.plot()` and `result.to_html()` import what draws when they are called.
DOORS = {("results", "plot"), ("results", "report")}
BACKENDS = ("jax", "tensorflow", "torch")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def name_of(path):
    """The module's dotted name: `onecycle.plot.draw`."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}
each_module = pytest.mark.parametrize("module", MODULES)


def package(module):
    """The package below `onecycle` that a module is in: `plot` of `onecycle.plot.draw`, "" of `onecycle` itself."""
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


def own_imports(module, **options):
    """The modules of onecycle that a module imports, without those behind a documented door."""
    found = {name for name in imports(module, **options) if name.split(".")[0] == "onecycle"}
    return {name for name in found if (package(module), package(name)) not in DOORS}


def test_the_root_holds_packages_only():
    """Below `onecycle` are the entry files and one folder for each package, whose docstring says what is in it."""
    entries = {path for path in (SOURCE / "onecycle").iterdir() if path.name != "__pycache__"}

    assert {path.name for path in entries if path.is_file()} == ROOT_FILES
    assert {path.name for path in entries if any(path.glob("**/*.py"))} == set(RANK)
    for name in RANK:
        docstring = ast.get_docstring(tree(f"onecycle.{name}"))
        assert docstring, f"{name}/__init__.py has no docstring"


@each_module
def test_imports_go_one_way(module):
    """A module imports from packages below its own, its own, and those that the list allows beside it."""
    if package(module) in ("", "__main__"):
        return
    own = package(module)
    others = {package(name) for name in own_imports(module)} - {"", own}
    forbidden = {other for other in others if RANK[other] >= RANK[own] and (own, other) not in BESIDE}

    assert forbidden == set()


@each_module
def test_results_and_suggestions_know_no_keras(module):
    """Results, suggestions, pictures and reports import neither keras nor a module of onecycle that does."""
    if package(module) not in NO_KERAS and module not in PURE_MODULES:
        return
    reached, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        assert name.split(".")[0] not in {"keras", *BACKENDS}
        if name in MODULES and name not in reached:
            reached.add(name)
            waiting += imports(name, at_start_only=name != module)


@pytest.mark.parametrize("module", [name for name in MODULES if package(name) in ("results", "suggestions")])
def test_results_and_suggestions_need_numpy_and_the_standard_library_only(module):
    """Results and suggestions import nothing but numpy, the standard library and each other."""
    others = {name.split(".")[0] for name in imports(module)}
    inside = {package(name) for name in own_imports(module)}

    assert others <= {*sys.stdlib_module_names, "numpy", "onecycle"}
    assert inside <= {"", "results", "suggestions"}


@each_module
def test_only_plot_draws(module):
    """Nothing but `plot` and the command line imports matplotlib."""
    if package(module) in ("plot", "cli"):
        return
    assert not [name for name in imports(module) if name.split(".")[0] == "matplotlib"]


@each_module
def test_private_keras_stays_in_keras_support(module):
    """Only keras_support imports keras.src."""
    private = [name for name in imports(module) if name.startswith("keras.src")]
    assert not private or package(module) == "keras_support"


@each_module
def test_backends_differ_in_keras_support(module):
    """Only keras_support imports a backend or asks Keras which one it runs on."""
    if package(module) in ("keras_support", "cli"):
        return
    assert not {name.split(".")[0] for name in imports(module)} & {*BACKENDS, "jaxlib"}
    attributes = [ast.unparse(node) for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)]
    assert not [text for text in attributes if text in {"keras.backend.backend", "keras.config.backend"}]
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
            docstring = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
            lengths[node.name] = node.end_lineno - node.lineno + 1 - docstring
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


def test_no_two_public_definitions_share_a_name():
    """No two classes or public functions of the package have the same name."""
    places = defaultdict(list)
    for module in MODULES:
        for node in tree(module).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("__"):
                places[node.name.lstrip("_") if isinstance(node, ast.ClassDef) else node.name].append(module)
    twice = {name: where for name, where in places.items() if len(where) > 1 and not name.startswith("_")}

    assert twice == {}


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
