"""The text of an error: its cause in one line, without what Keras and TensorFlow put around it, and its place."""

from __future__ import annotations

import re
import site
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

MAX_MESSAGE = 600  # characters; the traceback of --debug has the rest
# The message of these is a whole sentence, so it is printed without the name of the class. RuntimeError says no more
# than "Error" does.
_SELF_EXPLANATORY = (ValueError, OSError, ImportError, RuntimeError)

# The second form is that of `repr`, in which a KeyError has its message.
_TERMINAL_CODES = re.compile(r"(\x1b|\\x1b)\[[0-9;]*m")
_FRAMES_OF_TENSORFLOW = ("Detected at node", "<stack traces", "Stack trace for op", "[[{{node")
_NODES_OF_TENSORFLOW = re.compile(r"\{\{function_node [^}]*\}\}\s*|\s*\[Op:\w+\]( name:)?")
_TRACEBACK = "Traceback (most recent call last):"
# What Keras and TensorFlow write before the message of the error that they found.
_AROUND = re.compile(r"'*(Exception encountered when calling .*\.|Graph execution error:)\s*$")
_BEFORE_CAUSE = re.compile(r"Unable to automatically build the model\..*?Exception encountered:\s*'*", re.DOTALL)

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = tuple(
    Path(folder).resolve()
    for folder in {*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages()}
    if Path(folder).name in ("site-packages", "dist-packages") or Path(folder).name.startswith("python")
)


def cause(error: BaseException, *, named: bool = False) -> str:
    """Return the cause of an error in one line: the first informative message among the error and its causes.

    Args:
        error: The error.
        named: Whether to name the class of the error, also where the message says enough.
    """
    for one in _chain(error):
        lines = _informative_lines(one)
        if lines:
            message = _shortened(" ".join(" ".join(lines).split()))
            # The last line of a traceback in the message has the name of the class already.
            says_enough = _TRACEBACK in str(one) or (isinstance(one, _SELF_EXPLANATORY) and not named)
            return message if says_enough else f"{type(one).__name__}: {message}"
    return f"{type(error).__name__}: no message"


def describe_error(error: BaseException) -> str:
    """Return the cause of an error in one line, and for an error that is not onecycle's own, where to look."""
    if is_own(error):
        return cause(error)
    place = user_place(error)
    where = "" if place is None else f"{place}; "
    return f"{cause(error)} ({where}use --debug to see the traceback)"


def is_own(error: BaseException) -> bool:
    """Return whether code of onecycle raised an error, so that its message says what to do."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not Path(frames[-1].filename).resolve().is_relative_to(_PACKAGE):
        return False
    # Keras and TensorFlow remove their frames from the end of a traceback.
    own = (frames[-1].line or "").startswith("raise ")
    return own and (error.__cause__ is None or is_own(error.__cause__))


def user_place(error: BaseException) -> str | None:
    """Return the file and line of the user's code that is closest to an error, or None if there is none."""
    places = [
        f"{Path(frame.filename).name}, line {frame.lineno}"
        for one in reversed([*_chain(error)])
        for frame in reversed(traceback.extract_tb(one.__traceback__))
        if _is_of_user(frame.filename)
    ]
    return places[0] if places else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an error, what it was raised from, and so on."""
    current: BaseException | None = error
    while current is not None:
        # Keras raises this one without its cause, but in its context.
        hides_cause = current.__context__ is not None and _BEFORE_CAUSE.match(str(current)) is not None
        if not hides_cause:
            yield current
        shows_context = hides_cause or not current.__suppress_context__
        current = current.__cause__ or (current.__context__ if shows_context else None)


def _informative_lines(error: BaseException) -> list[str]:
    """Return the lines of an error's message that name its cause; none if it only says where the error was found."""
    # `str` of a KeyError is the `repr` of its message, and Keras puts that of any error into its own message.
    of_keras = isinstance(error, KeyError) and "Exception encountered" in str(error)
    text = str(error.args[0]) if of_keras else str(error)
    if "Exception encountered" in text:
        text = _BEFORE_CAUSE.sub("", text).replace("\\n", "\n")
    # Keras lists the arguments of the call at the end.
    text = _TERMINAL_CODES.sub("", text).partition("Arguments received by")[0]
    lines = [_NODES_OF_TENSORFLOW.sub("", _AROUND.sub("", line.rstrip())) for line in text.splitlines()]
    lines = [line for line in lines if line.strip()]
    # TensorFlow quotes the lines of code that led there, indented, before the cause.
    kept = [line for line in lines if not line.startswith((" ", "\t", *_FRAMES_OF_TENSORFLOW))] or lines
    # A traceback of another thread or process ends with its error.
    starts = [k for k, line in enumerate(kept) if line.endswith(_TRACEBACK)]
    return (kept[starts[-1] + 1 :][-1:] if starts else []) or kept


def _shortened(message: str) -> str:
    return f"{message[:MAX_MESSAGE]} ..." if len(message) > MAX_MESSAGE else message


def _is_of_user(file: str) -> bool:
    if file.startswith("<"):
        return False
    path = Path(file).resolve()
    return not any(path.is_relative_to(folder) for folder in (_PACKAGE, *_INSTALLED))
