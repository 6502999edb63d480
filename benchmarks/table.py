"""Fill the table of benchmarks/README.md with the newest results (`python -m benchmarks.table`)."""

from __future__ import annotations

import json
import re
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE, RESULTS = FOLDER / "README.md", FOLDER / "results"
NETS, BACKENDS = ("13-64-64-1", "784-300-100-10", "fashion-mnist-cnn"), ("tensorflow", "jax", "torch")
RAMP_NETS = {"784-300-100-10": "784-300-100"}  # the net of `benchmarks.engine ramp` that is nearly the same
BEGIN, END = "<!-- costs -->", "<!-- /costs -->"


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    page, count = re.subn(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{table()}\n{END}", text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{PAGE.name} has no {BEGIN} ... {END}")
    PAGE.write_text(page, encoding="utf-8")


def table() -> str:
    """Return the Markdown table of all ratios and their A/A ratios."""
    lines = ["| net | backend | subject | ratio | A/A | target | holds |", "|---|---|---|---|---|---|---|"]
    for net in NETS:
        for backend in BACKENDS:
            lines += [line(net, backend, row) for row in rows(net, backend)]
    return "\n".join(lines)


def rows(net: str, backend: str) -> list[dict]:
    """Return the rows of the step benchmark and, if it was measured, that of `find_learning_rate`."""
    step, ramp = newest(f"step_{backend}_{net}"), newest(f"engine_ramp_{backend}_{RAMP_NETS.get(net, net)}")
    result = [] if step is None else list(step["rows"])
    if ramp is not None:
        result.append({"subject": "find_learning_rate", **ramp["of a bare fit"]})
    return result


def newest(name: str) -> dict | None:
    """Return the newest result with a name, or None."""
    paths = sorted(RESULTS.glob(f"*_{name}.json"))
    return json.loads(paths[-1].read_text()) if paths else None


def line(net: str, backend: str, row: dict) -> str:
    """Return a row of the table."""
    ratio, a_a = row["ratio"], row["a_a"]
    measured = f"{ratio['ratio']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"
    noise = f"[{a_a['low']:.2f}, {a_a['high']:.2f}]"
    holds = "yes" if row["holds"] else "no"
    return f"| {net} | {backend} | {row['subject']} | {measured} | {noise} | {row['target']:.2f} | {holds} |"


if __name__ == "__main__":
    main()
