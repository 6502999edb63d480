"""Tables of two more questions: how the best peak depends on the number of epochs, and which schedule is best."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from records import OPTIMIZERS, numbers, read
from split import VARIED_TASKS
from tables import percent, table

ARTICLE = "one_cycle"
SHARES = (0.125, 0.25, 0.5, 1.0, 2.0)
Best = tuple[float, float]  # best peak and its loss


def horizon_tables(folder: Path) -> str:
    """Return the best peak for each length, relative to that of the full run, for each task and in the median."""
    lines, by_share = [], defaultdict(list)
    for name, optimizer, epochs, best in tasks(folder):
        base = best[ARTICLE, epochs][0]
        ratios = {}
        for (schedule, many), (peak, _) in best.items():
            if schedule == ARTICLE:
                share = min(SHARES, key=lambda share: abs(np.log(share * epochs / many)))
                ratios[share] = peak / base
                by_share[optimizer, share].append(peak / base)
        lines.append((name, optimizer, epochs, f"{base:.2g}", *(f"{ratios[share]:.2f}" for share in SHARES)))
    for optimizer in OPTIMIZERS:
        medians = (f"**{np.median(by_share[optimizer, share]):.2f}**" for share in SHARES)
        lines.append((f"median, {optimizer}", "", "", "", *medians))
    head = ("task", "optimizer", "epochs", "best peak", *(f"× {share:g}" for share in SHARES))
    return table(head, lines)


def schedule_tables(folder: Path) -> str:
    """Return the loss of each schedule at its best peak, and that peak, relative to those of the article's cycle."""
    peaks, losses, heads = defaultdict(list), defaultdict(list), []
    for name, optimizer, epochs, best in tasks(folder):
        heads.append(f"{name} {optimizer}")
        base = best[ARTICLE, epochs]
        for (schedule, many), (peak, loss) in best.items():
            if many == epochs:
                peaks[schedule].append(peak / base[0])
                losses[schedule].append(loss / base[1] - 1)
    order = sorted(losses, key=lambda schedule: np.mean(losses[schedule]))
    loss_rows = [
        (schedule, *map(percent, losses[schedule]), f"**{percent(np.mean(losses[schedule]))}**",
         f"{sum(loss < 0 for loss in losses[schedule])} of {len(losses[schedule])}")
        for schedule in order
    ]  # fmt: skip
    peak_rows = [
        (schedule, *(f"{peak:.2f}" for peak in peaks[schedule]), f"**{np.median(peaks[schedule]):.2f}**")
        for schedule in order
    ]
    loss_head = ("loss relative to the article's cycle", *heads, "mean", "better on")
    peak_head = ("best peak / best peak of the article's cycle", *heads, "median")
    return table(loss_head, loss_rows) + "\n" + table(peak_head, peak_rows)


def tasks(folder: Path) -> list[tuple[str, str, int, dict[tuple[str, int], Best]]]:
    """Return for each task and optimizer the epochs of the full run and the best of each (schedule, epochs)."""
    found = []
    for name in VARIED_TASKS:
        for optimizer in OPTIMIZERS:
            cells = defaultdict(list)
            for record in read(folder / name, f"{optimizer}_*-epochs_*.json"):
                cells[record["schedule"], record["run_epochs"]].append(record)
                epochs = record["epochs"]
            if cells:
                found.append(
                    (name, optimizer, epochs, {cell: interpolated_best(records) for cell, records in cells.items()})
                )
    return found


def interpolated_best(records: list[dict[str, Any]]) -> Best:
    """Return the best peak, interpolated by a parabola, and the mean loss at the best learning rate of the grid."""
    rates = np.log(records[0]["rates"])
    losses = np.mean([numbers(record["losses"]) for record in records], axis=0)
    k = int(np.argmin(losses))
    around = slice(max(0, k - 1), k + 2)
    if len(rates[around]) < 3 or not np.isfinite(losses[around]).all():
        return float(np.exp(rates[k])), float(losses[k])
    square, slope, _ = np.polyfit(rates[around] - rates[k], losses[around], 2)
    at = float(np.clip(-slope / (2 * square), rates[around][0] - rates[k], rates[around][-1] - rates[k]))
    return float(np.exp(rates[k] + at)), float(losses[k])
