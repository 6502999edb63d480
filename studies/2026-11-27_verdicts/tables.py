"""Makes the tables of README.md from rates.csv: python tables.py"""

from __future__ import annotations

import csv
import re
from pathlib import Path

HERE = Path(__file__).parent
SEEDS = (3, 4, 5, 6, 8, 10, 20)
with (HERE / "rates.csv").open(encoding="utf-8") as file:
    ROWS = {
        (row["kind"], row["distribution"], int(row["seeds"]), int(row["arms"])): row for row in csv.DictReader(file)
    }


def main() -> None:
    page = (HERE / "README.md").read_text(encoding="utf-8")
    now, before = ("t Bonferroni floor", "t Bonferroni"), ("sign flips Holm",)
    for arms in (1, 3):
        page = fill(page, f"runs, {arms}", table("runs", arms, (now, before), "any"))
        page = fill(page, f"differences, {arms}", table("differences", arms, (now, before), "any"))
    page = fill(page, "rules", rules_table())
    for arms in (1, 3):
        page = fill(page, f"effect, {arms}", table("effect", arms, (now, before), "per"))
    pairs = (("interval Bonferroni",), ("two one-sided t Bonferroni",), ("two one-sided t Holm",))
    page = fill(page, "margin, 2", table("margin", 2, pairs, "per"))
    (HERE / "README.md").write_text(page, encoding="utf-8")


def table(kind: str, arms: int, rules: tuple[tuple[str, ...], ...], of: str) -> str:
    """A row for each distribution, a column for each number of seeds, with the rates of the rules in per cent."""
    lines = [f"| | {' | '.join(f'{seeds} seeds' for seeds in SEEDS)} |", "|---" * (len(SEEDS) + 1) + "|"]
    for distribution in dict.fromkeys(key[1] for key in ROWS if key[0] == kind):
        cells = [
            " / ".join(shown(kind, distribution, seeds, arms, names, of) for names in rules) for seeds in SEEDS
        ]  # fmt: skip
        lines.append(f"| {distribution} | {' | '.join(cells)} |")
    return "\n".join(lines)


def rules_table() -> str:
    """The largest rate of any false verdict over the distributions of runs, and the power, for each rule."""
    lines = ["| rule | normal runs, 3 / 6 / 10 seeds | largest, 6 to 20 seeds | power, 4 / 6 seeds |",
             "|---|---|---|---|"]  # fmt: skip
    for rule in ("sign flips Holm", "t Bonferroni", "t Holm", "t Dunnett", "t and sign flips Bonferroni"):
        normal = " / ".join(shown("runs", "normal", seeds, 3, (rule,), "any") for seeds in (3, 6, 10))
        column = f"{rule}, any arm"
        rates = [float(row[column]) for (kind, _, seeds, _), row in ROWS.items()
                 if kind == "runs" and seeds >= 6 and row[column]]  # fmt: skip
        power = " / ".join(shown("effect", "2", seeds, 3, (rule,), "per") for seeds in (4, 6))
        lines.append(f"| {rule} | {normal} | {100 * max(rates):.1f} | {power} |")
    return "\n".join(lines)


def shown(kind: str, distribution: str, seeds: int, arms: int, rules: tuple[str, ...], of: str) -> str:
    """The rate of the first of the rules that was measured, in per cent."""
    row = ROWS[kind, distribution, seeds, arms]
    found = [row[f"{rule}, {of} arm"] for rule in rules if row[f"{rule}, {of} arm"]]
    return f"{100 * float(found[0]):.1f}" if found else "–"


def fill(page: str, name: str, text: str) -> str:
    """Replace what is between the markers of this name."""
    marks = f"<!-- {name} -->", f"<!-- /{name} -->"
    return re.sub(f"{marks[0]}.*?{marks[1]}", lambda _: f"{marks[0]}\n{text}\n{marks[1]}", page, flags=re.DOTALL)


if __name__ == "__main__":
    main()
