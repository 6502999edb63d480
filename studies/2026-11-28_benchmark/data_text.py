"""Text from files that Python and installed packages ship, as numbers of symbols."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from data import Data, parts

SYMBOLS = "\n abcdefghijklmnopqrstuvwxyz0123456789.,:;()[]{}'\"_-=+*/#<>@&%!"
VOCABULARY = len(SYMBOLS) + 1  # anything else is symbol 0
# Folders of source text, each in a package of constraints.txt or in Python's standard library.
PACKAGES = ("keras/src/layers", "numpy/lib", "scipy/signal", "sklearn/linear_model", "matplotlib", "jax/_src/numpy")
STANDARD_LIBRARY = ("asyncio", "email")


@cache
def text_of(folder: str, limit: int) -> str:
    """Return the first characters of the Python files of a folder of an installed package or the standard library."""
    top, _, rest = folder.partition("/")
    library, package = Path(sysconfig.get_path("stdlib")), find_spec(top)
    root = library if folder in STANDARD_LIBRARY or not package else Path(package.origin).parents[1]
    found = ""
    for path in sorted((root / top / rest).rglob("*.py")):
        found += path.read_text(encoding="utf-8", errors="ignore")
        if len(found) >= limit:
            break
    return found[:limit]


def license_text() -> str:
    """Return the license texts that the package jaxlib ships."""
    files = metadata.files("jaxlib") or []
    paths = sorted(str(file.locate()) for file in files if file.name == "LICENSE.txt")
    return Path(paths[0]).read_text(encoding="utf-8", errors="ignore")


def codes(text: str) -> np.ndarray:
    """Return a text as numbers below `VOCABULARY`."""
    table = np.zeros(256, "int32")
    for k, symbol in enumerate(SYMBOLS, start=1):
        table[ord(symbol)] = table[ord(symbol.upper())] = k
    return table[np.frombuffer(text.encode("latin-1", errors="replace"), "uint8")]


def windows(text: str, length: int, seed: int) -> np.ndarray:
    """Return the text cut into windows, in a random order."""
    symbols = codes(text)
    rows = symbols[: len(symbols) // length * length].reshape(-1, length)
    return rows[np.random.RandomState(seed).permutation(len(rows))]


def next_symbols(text: Callable[[], str], rows: int, length: int, *, every: bool = True) -> Callable[[], Data]:
    """Return a function that makes windows of text; the targets are the next symbols, or only the last one.

    Args:
        text: Function that returns the text.
        rows: Number of training rows.
        length: Number of input symbols.
        every: Whether each symbol of a window is predicted, or only the one after it.
    """

    def load() -> Data:
        found = windows(text(), length + 1, 21)
        return parts(found[:, :-1], found[:, 1:] if every else found[:, -1], rows)

    return load


def library_text() -> str:
    """Return 700,000 characters of the standard library."""
    return "".join(text_of(folder, 350_000) for folder in STANDARD_LIBRARY)


def package_text() -> str:
    """Return 600,000 characters of Python packages."""
    return "".join(text_of(folder, 100_000) for folder in PACKAGES)


def snippets(rows: int, length: int = 40) -> Data:
    """Return pieces of source text; the target is the folder that it comes from, one of eight."""
    folders = PACKAGES + STANDARD_LIBRARY
    pieces = [windows(text_of(folder, 120_000), length, 22) for folder in folders]
    x, y = np.concatenate(pieces), np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    order = np.random.RandomState(23).permutation(len(x))
    return parts(x[order], y[order], rows)
