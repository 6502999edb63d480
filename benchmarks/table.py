"""Fill the tables of the pages with the newest results: python -m benchmarks.table."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

from benchmarks.growth import TIMES
from benchmarks.peers import summary

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
NETS, BACKENDS = ("13-64-64-1", "784-300-100-10", "fashion-mnist-cnn"), ("tensorflow", "jax", "torch")
PEERS_NETS = (*NETS, "attention", "residual-cnn")
TELLING_NETS = ("784-300-100-10", "fashion-mnist-cnn", "residual-cnn")
RAMP_NETS = {"784-300-100-10": "784-300-100"}  # the net of `benchmarks.engine ramp` that is nearly the same


def main() -> None:
    for page, name, table in tables():
        text = page.read_text(encoding="utf-8")
        before, begin, rest = text.partition(f"<!-- {name} -->")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not end:
            raise SystemExit(f"{page.name} has no <!-- {name} --> ... <!-- /{name} -->")
        page.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


def tables() -> list[tuple[Path, str, str]]:
    """Return (page, name of the place in it, table) for each table."""
    page = FOLDER / "README.md"
    return [
        (page, "costs", costs()),
        (page, "peers", peers()),
        (page, "races", races()),
        (page, "growth", growth()),
        (FOLDER.parent / "README.md", "peers", telling_peers()),
        (FOLDER.parent / "docs" / "clusters.md", "cluster plan", cluster_plan()),
    ]


def peers() -> str:
    """Return the Markdown table of the range tests and trainings of other libraries."""
    return summary.table({net: result for net in PEERS_NETS if (result := newest(f"peers_{net}"))})


def telling_peers() -> str:
    """Return the Markdown table of warm range tests on three networks."""
    return summary.warm_table({net: result for net in TELLING_NETS if (result := newest(f"peers_{net}"))})


def races() -> str:
    """Return the Markdown table of races of three candidates, relative to one `fit`."""
    lines = ["| net | steps | race | race by `fit` | A/A |", "|---|---|---|---|---|"]
    for net, row in (newest("race_jax") or {"rows": {}})["rows"].items():
        ratios = [row["ratios to a fit"][name] for name in ("race", "race by fit")] + [row["a_a"]]
        cells = [f"{one['ratio']:.2f} [{one['low']:.2f}, {one['high']:.2f}]" for one in ratios]
        lines.append(f"| {net} | {row['steps']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def growth() -> str:
    """Return the Markdown table of the memory of processes that train many times."""
    lines = ["| backend | trainings | after three | at the end | growth |", "|---|---|---|---|---|"]
    for backend in BACKENDS:
        result = newest(f"growth_{backend}") or {"rows": [], "warm_after": 1}
        for row in result["rows"]:
            memory = row["megabytes"]
            first = f"{memory[result['warm_after'] - 1]:.0f} MB"
            cells = (
                f"{TIMES[row['subject']]} {row['subject']}",
                first,
                f"{memory[-1]:.0f} MB",
                f"{100 * row['growth']:+.1f} %",
            )
            lines.append(f"| {backend} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cluster_plan() -> str:
    """Return the Markdown table of the simulated plans."""
    lines = ["| plan | minutes | hours of hosts |", "|---|---|---|"]
    for name, runs in (newest("cluster_plan") or {"runs": {}})["runs"].items():
        minutes, hours = (mean(run[key] for run in runs) for key in ("seconds", "host_hours"))
        lines.append(f"| {name} | {minutes / 60:.1f} | {hours:.2f} |")
    return "\n".join(lines)


def costs() -> str:
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
