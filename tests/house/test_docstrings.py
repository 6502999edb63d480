"""How the code is documented: docstrings with arguments, real types, plain words."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "onecycle"
FILES = sorted(SOURCE.rglob("*.py"))
PAGES = sorted(
    path for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "studies/**/*.md") for path in ROOT.glob(pattern)
)
CODE = sorted(
    path
    for folder in ("src", "tests", "benchmarks", "studies", "examples", "docs")
    for path in (ROOT / folder).rglob("*.py")
    if "fixtures" not in path.parts and path != Path(__file__).resolve()
)

MAX_BARE_ANY = 0.05  # of the annotated arguments
PARAMETERS_TO_DOCUMENT = 3
# What a translated text says; see CONTRIBUTING.md.
UNWANTED = re.compile(
    r"\b(a person|person's|persons|told|came there|comes there|asked after|so manieth|of one's own|no such past)\b"
)


def public_functions(path):
    """The public functions and methods of a file. A method that a protocol of the same file documents is left out."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    found = [node for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in classes.values():
        bases = [classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
        documented = {child.name for base in bases for child in base.body if isinstance(child, ast.FunctionDef)}
        methods = [child for child in node.body if isinstance(child, ast.FunctionDef) and child.name not in documented]
        found += [] if node.name.startswith("_") else methods
    return [function for function in found if not function.name.startswith("_")]


def parameters(function):
    """The arguments of a function, without self and cls."""
    given = function.args
    names = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    return [argument for argument in names if argument.arg not in ("self", "cls")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_public_functions_document_their_arguments(path):
    """A public function with three or more parameters has `Args:` in its docstring, with every name."""
    if path.parent.name == "cli":
        return  # typer shows the help of each option
    if path.name == "task_runs.py":
        return  # the source of its functions is part of the records' identity, so it stays as it was
    missing = {}
    for function in public_functions(path):
        names = [argument.arg for argument in parameters(function)]
        hook = re.match(r"on_(train|epoch|test|predict)", function.name)  # Keras documents its callbacks' hooks
        if hook or len(names) < PARAMETERS_TO_DOCUMENT:
            continue
        docstring = ast.get_docstring(function) or ""
        documented = docstring.partition("Args:")[2]
        lacking = [name for name in names if not re.search(rf"\b{name}\b", documented)]
        if lacking:
            missing[function.name] = lacking

    assert missing == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_public_classes_document_the_arguments_of_their_constructors(path):
    """A class with `Args:` in its docstring has every argument of its constructor there."""
    missing = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        constructors = [one for one in getattr(node, "body", []) if getattr(one, "name", None) == "__init__"]
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_") or not constructors:
            continue
        documented = (ast.get_docstring(node) or "").partition("Args:")[2]
        names = [argument.arg for argument in parameters(constructors[0])]
        lacking = [name for name in names if documented and not re.search(rf"\b{name}\b", documented)]
        if lacking:
            missing[node.name] = lacking

    assert missing == {}


def test_arguments_have_types():
    """At most one annotated argument in twenty is a bare `Any`."""
    annotated = [
        argument.annotation
        for path in FILES
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for argument in parameters(function)
        if argument.annotation is not None
    ]
    bare = [annotation for annotation in annotated if isinstance(annotation, ast.Name) and annotation.id == "Any"]

    assert len(annotated) > 1000
    assert len(bare) <= MAX_BARE_ANY * len(annotated)


@pytest.mark.parametrize("path", [*CODE, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_words_are_plain(path):
    """No page and no file of code has one of the words that a translated text has."""
    found = {match.group() for match in UNWANTED.finditer(path.read_text(encoding="utf-8").lower())}

    assert found == set()
