"""Restoration that Ctrl-C does not cut short, however often it comes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def finish(action: Callable[[], object]) -> None:
    """Call `action` to its end, however often Ctrl-C comes; the interrupt is raised afterwards.

    Args:
        action: Restores something. If an interrupt is raised in it nevertheless, it is called again, so it must do the
            same when it is called twice.
    """
    done: list[bool] = []
    # Each interrupt ends one of the attempts, wherever it is raised, and the next one is made on the way out.
    try:
        try:
            try:
                _attempt(action, done)
            finally:
                _attempt(action, done)
        finally:
            _attempt(action, done)
    finally:
        _attempt(action, done)


def _attempt(action: Callable[[], object], done: list[bool]) -> None:
    if done:
        return
    without_interrupts(action)
    done.append(True)


def undo_unless_finished(
    run: Callable[P, T], undo: Callable[[], object], *args: P.args, **kwargs: P.kwargs
) -> T:  # fmt: skip
    """Call `run` and return its result; call `undo` if an exception or an interrupt ends it.

    Args:
        run: Changes something.
        undo: Undoes whatever part of `run` has been done. It must do the same when it is called twice.
        *args: Arguments of `run`.
        **kwargs: Its keyword arguments.
    """
    # No line follows `run` where it succeeds: after an interrupt there, nothing would undo it.
    try:
        try:
            return run(*args, **kwargs)
        except BaseException:
            finish(undo)
            raise
    except BaseException:
        finish(undo)  # again, in case an interrupt has ended the first call
        raise


def without_interrupts(action: Callable[[], object]) -> None:
    """Call `action` with Ctrl-C held back until it has returned. Elsewhere than in the main thread none can come."""
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, _HeldBack) and not before.active:
        before = before.handler  # left behind where an interrupt was raised while the handlers were exchanged
    # None is a handler that was not installed from Python and cannot be installed again.
    cannot_replace = before is None or threading.current_thread() is not threading.main_thread()
    if cannot_replace or isinstance(before, _HeldBack):
        action()
        return
    held_back = _HeldBack(before)
    try:
        try:
            try:
                signal.signal(signal.SIGINT, held_back)
                action()
            finally:
                held_back.remove()
        finally:
            held_back.remove()
    finally:
        held_back.remove()
    if held_back.received:
        signal.raise_signal(signal.SIGINT)


class _HeldBack:
    """A handler that only records that the signal came, in place of another handler."""

    def __init__(self, handler: Callable[[int, FrameType | None], object] | int | None) -> None:
        self.handler = handler
        self.active, self.received = True, False

    def __call__(self, *args: object) -> None:
        self.received = True

    def remove(self) -> None:
        """Install the other handler again."""
        self.active = False
        signal.signal(signal.SIGINT, self.handler)
