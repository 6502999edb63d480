"""The log lines of libraries at their import."""

import os

import pytest

from onecycle.keras_support.quiet_import import without_log_lines

LOG_LINES = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    b"I0000 00:00:1795811330.115482   22343 port.cc:153] oneDNN custom operations are on.\n"
)


def test_log_lines_are_hidden(capfd):
    """Log lines that C++ code writes are hidden, and every other line is written."""
    with without_log_lines():
        os.write(2, b"before\n" + LOG_LINES + b"the user's own line")
    assert capfd.readouterr().err == "before\nthe user's own line"


def test_all_lines_are_shown_with_an_exception(capfd):
    """With an exception, the log lines are written too."""
    with pytest.raises(IndexError), without_log_lines():
        [][os.write(2, LOG_LINES)]
    assert capfd.readouterr().err == LOG_LINES.decode()
