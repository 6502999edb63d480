"""What the calls of a subject say, without any of the libraries."""

from __future__ import annotations

from statistics import median
from typing import Any


def is_complete(found: dict[str, Any]) -> bool:
    """Return whether a subject made all its calls."""
    return not found["error"] and len(found["calls"]) >= 4


def summary(found: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of the first call and of a warm one, and the microseconds of a step in the limit."""
    calls = found["calls"]
    fewer, more = calls[0]["steps"], calls[-1]["steps"]
    first, *short = [one for one in calls if one["steps"] == fewer]
    long = [one for one in calls if one["steps"] == more]
    difference = min(one["cpu"] for one in long) - min(one["cpu"] for one in short)
    return {
        "first": first["cpu"], "warm": median(one["cpu"] for one in short), "step": 1e6 * difference / (more - fewer),
        "mb": max(one["mb"] for one in calls), "given_back": first["same"],
    }  # fmt: skip


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return a Markdown table with a row for each network and subject.

    Args:
        results: Network -> its newest result.
    """
    lines = [
        "| net | subject | first, s | warm, s | step, µs | memory, MB | given back |",
        "|---|---|---|---|---|---|---|",
    ]
    for net, result in results.items():
        for subject, found in result["subjects"].items():
            lines.append(f"| {net} | {subject} | {_cells(found)} |")
    return "\n".join(lines)


RANGE_TESTS = {
    "onecycle, JAX": "onecycle (jax)", "TensorFlow": "onecycle (tensorflow)", "PyTorch": "onecycle (torch)",
    "torch-lr-finder": "torch-lr-finder", "Lightning": "Lightning", "fastai": "fastai",
}  # fmt: skip


def warm_table(results: dict[str, dict[str, Any]]) -> str:
    """Return a Markdown table of the seconds of a warm range test, with a row for each network.

    Args:
        results: Network -> its newest result.
    """
    lines = [f"| network | {' | '.join(RANGE_TESTS)} |", f"|{'---|' * (1 + len(RANGE_TESTS))}"]
    for net, result in results.items():
        seconds = (summary(result["subjects"][subject])["warm"] for subject in RANGE_TESTS.values())
        lines.append(f"| {net} | {' | '.join(f'{one:.2f}' for one in seconds)} |")
    return "\n".join(lines)


def _cells(found: dict[str, Any]) -> str:
    if not is_complete(found):
        return "failed | | | |"
    one = summary(found)
    given_back = "yes" if one["given_back"] else "no"
    return f"{one['first']:.2f} | {one['warm']:.3f} | {one['step']:.0f} | {one['mb']:.0f} | {given_back}"
