"""Writes the tables of this study into its README: python analysis.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from launches import ARMS, HERE, ROUNDS, folder_of, launches, tuned

from onecycle.comparison.packed import documents, read_document, read_packed

Record = dict[str, Any]
NEAR, TWICE = 1.1, 2.0  # times the well-tuned loss
BACKENDS = ("jax", "tensorflow", "torch")


def main() -> None:
    text = ""
    for number in reversed(ROUNDS):
        complete = complete_sets(troubled(records(number)))
        text += f"\n### Round {number}\n\n"
        text += f"{len(complete) // len(ARMS)} of the {len(launches())} trainings have been made with all four arms.\n"
        text += table("all", ["all"], lambda one: "all", complete)
        text += table("trouble", sorted({one["trouble"] for one in complete}), lambda one: one["trouble"], complete)
        text += table("backend", BACKENDS, lambda one: one["backend"], complete)
        if number == ROUNDS[-1]:
            text += "\nThe guard, run by run:\n\n" + guarded(complete)
    text += "\n### Healthy trainings\n\n" + healthy()
    readme = HERE / "README.md"
    marked = r"(<!-- results -->\n).*(<!-- /results -->)"
    readme.write_text(re.sub(marked, lambda found: found[1] + text + found[2], readme.read_text(), flags=re.DOTALL))


def records(number: int) -> list[Record]:
    """Return the records of all backends in a round."""
    found: list[Record] = []
    for backend in BACKENDS:
        folder = HERE / "runs" / folder_of(backend, number)
        packed, problem = read_packed(folder.with_suffix(".jsonl"))
        if problem:
            raise ValueError(problem)
        single = {path.relative_to(folder).as_posix(): read_document(path) for path in folder.rglob("*.json")}
        merged: dict[str, Any] = packed | single
        found += merged.values()
    return found


def troubled(found: list[Record]) -> list[Record]:
    """Return the records of launches, with their loss relative to the well-tuned one."""
    references = {key(one): one["test_loss"] for one in found if one["trouble"] == "reference" and one["arm"] == "bare"}
    return [one | {"ratio": ratio(one, references)} for one in found if one["trouble"] != "reference"]


def healthy() -> str:
    """Return what the guard did in the healthy trainings (see healthy.py)."""
    found: list[Any] = list(documents(HERE / "runs" / "healthy", "*.json").values())
    rescued = [one for one in found if one["rescues"]]
    text = f"{len(found)} trainings, {len(rescued)} with a rescue.\n"
    for one in rescued:
        text += (
            f"- {one['task']} with {one['optimizer']}, peak {one['peak']:.2g}: {len(one['rescues'])} rescues, of which "
            f"the first because {one['rescues'][0][1]}. Held-out loss {one['loss']:.3g}, without the guard "
            f"{one['loss_without_guard']:.3g}.\n"
        )
    return text


def key(one: Record) -> tuple[str, str, str]:
    return one["backend"], one["task"], one["optimizer"]


def ratio(one: Record, references: dict[tuple[str, str, str], float]) -> float:
    """Return the test loss relative to the well-tuned one; infinity if it is not finite."""
    if not one["finite"]:
        return float("inf")
    if one["variant"] == "plain":
        return float(one["test_loss"] / references[key(one)])
    return float(one["test_loss"] / tuned()[f"{one['task']} {one['optimizer']} {one['variant']}"]["loss"])


def complete_sets(found: list[Record]) -> list[Record]:
    """Return the records of trainings that were made with all arms."""
    names = [without_arm(one) for one in found]
    return [one for one, name in zip(found, names, strict=True) if names.count(name) == len(ARMS)]


def without_arm(one: Record) -> str:
    what = ("backend", "task", "optimizer", "trouble", "peak_factor", "variant", "weight_decay", "poison", "dtype")
    return " ".join(str(one[name]) for name in what)


def table(title: str, rows: Iterable[str], row_of: Callable[[Record], str], found: list[Record]) -> str:
    """Return a table with a row for each kind of training, and for each arm the shares that ended finite and well."""
    arms = " | ".join(f"{arm}: finite, within 10 %, within twice" for arm in ARMS)
    lines = [f"\n| {title} | trainings | {arms} | undone |"]
    lines.append("|" + "---|" * (len(ARMS) + 3))
    for row in rows:
        mine = [one for one in found if row_of(one) == row]
        cells = [share([one for one in mine if one["arm"] == arm]) for arm in ARMS]
        lines.append(f"| {row} | {len(mine) // len(ARMS)} | " + " | ".join(cells) + f" | {undone(mine)} |")
    return "\n".join(lines) + "\n"


def share(mine: list[Record]) -> str:
    if not mine:
        return ""
    ratios = np.array([one["ratio"] for one in mine])
    shares = (np.isfinite(ratios).mean(), (ratios <= NEAR).mean(), (ratios <= TWICE).mean())
    return ", ".join(f"{100 * one:.0f} %" for one in shares)


def undone(mine: list[Record]) -> str:
    shares = [sum(rescue[3] for rescue in one["rescues"]) / one["steps"] for one in mine if one["arm"] == "guard"]
    return f"{100 * float(np.mean(shares)):.1f} %" if shares else ""


def guarded(found: list[Record]) -> str:
    """Return a table of the runs with the guard, the worst first."""
    lines = ["| training | loss / well-tuned | bare | clipnorm | rescues | steps undone |", "|---|---|---|---|---|---|"]
    by = {(without_arm(one), one["arm"]): one for one in found}
    for one in sorted((one for one in found if one["arm"] == "guard"), key=lambda one: -one["ratio"]):
        others = [number(by[without_arm(one), arm]["ratio"]) for arm in ("bare", "clipnorm")]
        lost = sum(rescue[3] for rescue in one["rescues"])
        more = [one["variant"], one["poison"], one["dtype"], one["weight_decay"]]
        details = " ".join(str(part) for part in more if part not in ("plain", None, "float32"))
        name = f"{one['backend']} {one['task']} {one['optimizer']} {one['trouble']} ×{one['peak_factor']:g} {details}"
        lines.append(
            f"| {name.strip()} | {number(one['ratio'])} | {' | '.join(others)} | {len(one['rescues'])} "
            f"| {100 * lost / one['steps']:.0f} % |"
        )
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "not finite"


if __name__ == "__main__":
    main()
