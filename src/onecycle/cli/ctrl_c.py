"""What Ctrl-C does while a command runs: it stops the command at once, or training at the end of the batch."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

STDERR = 2
NOTICE = b"\nStopping at the end of this batch. Press Ctrl-C again to stop at once.\n"


class CtrlC:
    """The handler of Ctrl-C for the duration of a `with` statement.

    It raises KeyboardInterrupt. After `defer`, the first Ctrl-C only sets `received`: an exception in the middle of a
    training step would leave a model whose arrays are deleted, as JAX reuses their memory.

    Attributes:
        received: Whether Ctrl-C came.
        deferred: Whether `defer` was called.
    """

    def __init__(self) -> None:
        self.received = self.deferred = False
        self._raised = False
        self._process = os.getpid()
        self._before: object = None

    def defer(self) -> None:
        """From now on, let the caller read `received` instead of raising KeyboardInterrupt at the first Ctrl-C."""
        self.deferred = True

    def __enter__(self) -> Self:
        before = signal.getsignal(signal.SIGINT)
        # A process in the background ignores Ctrl-C. A handler that was not installed from Python is None.
        if before not in (signal.SIG_IGN, None) and threading.current_thread() is threading.main_thread():
            self._before = before
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]  # what `getsignal` returned
        # TensorFlow turns a KeyboardInterrupt in the user's generator into an error of its own, and an interrupted
        # step on JAX leaves deleted arrays, which raise another error on the way out.
        if self._raised and isinstance(error, Exception):
            raise KeyboardInterrupt from error

    def _handle(self, signal_number: int, frame: FrameType | None) -> None:
        # A terminal sends Ctrl-C to the worker processes of data sets too. This process ends them.
        if os.getpid() != self._process:
            return
        if self.deferred and not self.received:
            self.received = True
            os.write(STDERR, NOTICE)  # `print` may not be called again while it is being called
            return
        self.received = self._raised = True
        raise KeyboardInterrupt
