"""`python -m benchmarks.table`: fills the table of README.md with the newest result of each net and backend."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
NETS, BACKENDS = ("13-64-64-1", "784-300-100-10", "fashion-mnist-cnn"), ("tensorflow", "jax", "torch")
RAMP_NETS = {"784-300-100-10": "784-300-100"}  # the nets of the other benchmark that are all but the same
BEGIN, END = "<!-- costs -->", "<!-- /costs -->"


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    filled, count = re.subn(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{table()}\n{END}", text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"README.md has no {BEGIN} ... {END}")
    readme.write_text(filled, encoding="utf-8")


def table() -> str:
    """Every ratio beside its A/A ratio."""
    lines = ["| net | backend | | ratio | A/A | target | holds |", "|---|---|---|---|---|---|---|"]
    for net in NETS:
        for backend in BACKENDS:
            lines += [line(net, backend, row) for row in rows(net, backend)]
    return "\n".join(lines)


def rows(net: str, backend: str) -> list[dict]:
    """The rows of the benchmark of a step, and where it was taken that of `find_learning_rate` beside them."""
    step, ramp = newest(f"step_{backend}_{net}"), newest(f"engine_ramp_{backend}_{RAMP_NETS.get(net, net)}")
    found = [] if step is None else list(step["rows"])
    if ramp is not None:
        found.append({"subject": "find_learning_rate", **ramp["of a bare fit"]})
    return found


def newest(name: str) -> dict | None:
    paths = sorted(RESULTS.glob(f"*_{name}.json"))
    return json.loads(paths[-1].read_text()) if paths else None


def line(net: str, backend: str, row: dict) -> str:
    ratio, again = row["ratio"], row["a_a"]
    told = f"{ratio['ratio']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"
    beside = f"[{again['low']:.2f}, {again['high']:.2f}]"
    holds = "yes" if row["holds"] else "no"
    return f"| {net} | {backend} | {row['subject']} | {told} | {beside} | {row['target']:.2f} | {holds} |"


if __name__ == "__main__":
    main()
