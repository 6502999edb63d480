"""Interrupts at chosen lines of onecycle, raised by a tracing hook."""

import sys


class lines:  # noqa: N801 - reads as a function
    """Count the lines of onecycle that run once a function has been called, and interrupt at one of them.

    Args:
        begin: The function whose first call begins the count.
        interrupt_at: Number of the line at which a `KeyboardInterrupt` is raised, or None.
        within: Whether only lines within that call count.
    """

    def __init__(self, begin, interrupt_at=None, *, within=False):
        self._code, self._at, self._within = begin.__code__, interrupt_at, within
        self.count, self._counting = 0, False
        self.first: dict[tuple[str, int], int] = {}  # line of the source -> the number under which it first ran

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(self, *error):
        sys.settrace(self._before)

    def _called(self, frame, event, argument):
        if "/onecycle/" not in frame.f_code.co_filename.replace("\\", "/"):
            return None
        if frame.f_code is self._code:
            self._counting = True
        return self._line

    def _line(self, frame, event, argument):
        if event == "line" and self._counting:
            self.count += 1
            self.first.setdefault((frame.f_code.co_filename, frame.f_lineno), self.count)
            if self.count == self._at:
                raise KeyboardInterrupt
        if event == "return" and self._within and frame.f_code is self._code:
            self._counting = False
        return self._line


def numbers_of_distinct_lines(begin, run, *arguments, within=False):
    """Return the number under which each line of the source first runs, in the same span as in `lines_of`."""
    with lines(begin, within=within) as counted:
        run(*arguments)
    return sorted(counted.first.values())


def lines_of(begin, run, *arguments, within=False):
    """Return how many lines of onecycle run from the first call of `begin` until `run(*arguments)` or it ends."""
    with lines(begin, within=within) as counted:
        run(*arguments)
    return counted.count
