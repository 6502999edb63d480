"""Reads the records in runs/, draws pictures/ and fills the tables of README.md: python analysis.py; no training."""

import re
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from further import LONGER_TASK, PICTURE_TASK, SWEPT_TASK, batch_arms, longer_arms, picture_arms, swept_arms

from onecycle.comparison.article.protocol import CYCLE, PROTOCOLS, Protocol
from onecycle.comparison.article.reproduction import verdicts_against_cycle
from onecycle.comparison.article.savings import epoch_savings
from onecycle.comparison.evaluation import comparison_from_records
from onecycle.comparison.packed import documents
from onecycle.plot import save_figure
from onecycle.results import Comparison, RunRecord, codec

HERE = Path(__file__).parent
HIGHEST_LOSS = 3.0  # that the picture of rates shows: a guess has 2.3
RUNS, PICTURES, README = HERE / "runs", HERE / "pictures", HERE / "README.md"


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    filled = README.read_text(encoding="utf-8")
    for name, protocol in PROTOCOLS.items():
        folder = RUNS / name / "main"
        if not read(folder) or not whole_seeds(folder, tuple(protocol.main_arms(tuned(protocol)))):
            print(f"{name}: no seed has all its runs yet")
            continue
        main_runs, side_runs = comparisons(protocol)
        filled = fill(filled, name, tables(protocol, main_runs, side_runs))
        pictures(name, main_runs)
    for what, task in (("swept", SWEPT_TASK), ("longer", LONGER_TASK)):
        arms = later_arms(what, PROTOCOLS[task])
        if whole_seeds(RUNS / task / what, arms):
            filled = fill(filled, what, later_table(compared(RUNS / task / what, arms, PROTOCOLS[task])))
    for what in ("picture", "batch-size"):
        if read(RUNS / PICTURE_TASK / what):
            filled = fill(filled, what, extra(what))
    README.write_text(filled, encoding="utf-8")


def comparisons(protocol: Protocol) -> tuple[Comparison, Comparison | None]:
    """The main and the side arms of an experiment, as far as all their runs are there."""
    folder = RUNS / protocol.task
    arms = tuple(protocol.main_arms(tuned(protocol)))
    found = compared(folder / "main", arms, protocol)
    there = len(read(folder / "side")) == len(protocol.side_arms()) * protocol.side_seeds
    return found, compared(folder / "side", tuple(protocol.side_arms()), protocol) if there else None


def compared(folder: Path, arms: tuple[str, ...], protocol: Protocol) -> Comparison:
    """The comparison of the seeds for which every arm has its record."""
    records, seeds = read(folder), whole_seeds(folder, arms)
    runs = [records[arm, seed] for arm in arms for seed in seeds]
    metric = f"val_{protocol.metric}"
    return comparison_from_records(
        runs, arms, seeds, metric=metric, margin=protocol.margin, config={"epochs": protocol.epochs}
    )


def whole_seeds(folder: Path, arms: tuple[str, ...]) -> tuple[int, ...]:
    """The seeds for which every arm has its record."""
    records = read(folder)
    return tuple(sorted({seed for _, seed in records if all((arm, seed) in records for arm in arms)}))


@cache
def read(folder: Path) -> dict[tuple[str, int], RunRecord]:
    """Every record of a folder, packed or single."""
    records = [codec.from_document(document, name) for name, document in documents(folder).items()]
    return {(record.arm, record.seed): record for record in records}


def tuned(protocol: Protocol) -> dict[float, float]:
    """The constant rates that the grid chose: for each momentum the one whose best is best in the mean over seeds."""
    return {momentum: max((merit, rate) for rate, merit in row)[1] for momentum, row in grid(protocol).items()}


def grid(protocol: Protocol) -> dict[float, list[tuple[float, float]]]:
    """Momentum -> (rate, mean of the runs' best, higher is better; minus infinity where one diverged)."""
    found: dict[float, dict[float, list[float]]] = {0.0: {}, 0.9: {}}
    for record in read(RUNS / protocol.task / "grid").values():
        own = record.config["optimizer"]["config"]
        values = record.history[f"val_{protocol.metric}"]
        sign = -1 if protocol.metric == "loss" else 1
        best = -np.inf if record.diverged else max(sign * value for value in values)
        found[own["momentum"]].setdefault(own["learning_rate"], []).append(best)
    return {
        momentum: sorted((rate, float(np.mean(all_))) for rate, all_ in row.items()) for momentum, row in found.items()
    }


def tables(protocol: Protocol, main_runs: Comparison, side_runs: Comparison | None) -> str:
    """The tables of an experiment, and its sentences."""
    cycles = tuple(arm for arm in main_runs.arms if arm.startswith(CYCLE))
    saved = [epoch_savings(main_runs, arm, cycles) for arm in main_runs.arms if arm not in cycles]
    parts = [
        f"{counted(main_runs)}. Target: {main_runs.target:.4g}, the mean over seeds of the baseline's best.",
        main_runs.table(),
        *([root_table(main_runs)] if protocol.metric == "loss" else []),
        "\n".join(f"- {main_runs.verdicts[arm]['final'].sentence}" for arm in main_runs.arms[1:]),
        "The same, each held against the cycle of full length:",
        "\n".join(f"- {verdict.sentence}" for verdict in verdicts_against_cycle(main_runs, side_runs)),
        "Epochs that whole cycles save, range test included; optimistic, for the shortest is sought after the runs:",
        "\n".join(f"- {one.summary()}" for one in saved),
    ]
    if side_runs is not None:
        parts += [f"Other ways to train, {counted(side_runs)}:", side_runs.table()]
    parts += ["The grids of constant rates, on held-out training data:", grid_table(protocol)]
    return "\n\n".join(parts)


def counted(comparison: Comparison) -> str:
    """How many seeds, in words."""
    count = len(comparison.seeds)
    return f"{count} seed{'s' * (count > 1)}"


def root_table(comparison: Comparison) -> str:
    """Squared errors and their roots after the last epoch, means over the seeds that did not diverge."""
    lines = ["| arm | MSE | RMSE | seeds |", "|---|---|---|---|"]
    for arm in comparison.arms:
        finals = np.array([run["final"] for run in comparison.of(arm) if run["diverged"] is None])
        lines.append(f"| {arm} | {finals.mean():.2f} | {np.sqrt(finals).mean():.2f} | {len(finals)} |")
    return "\n".join(lines)


def grid_table(protocol: Protocol) -> str:
    """Each constant rate's mean best."""
    sign = -1 if protocol.metric == "loss" else 1
    lines = ["| momentum | " + "rate: mean of the best |", "|---|---|"]
    for momentum, row in grid(protocol).items():
        chosen = tuned(protocol)[momentum]
        told = ", ".join(
            f"{'**' * (rate == chosen)}{rate:.2g}: {sign * merit:.4g}{'**' * (rate == chosen)}" for rate, merit in row
        )
        lines.append(f"| {momentum:g} | {told} |")
    return "\n".join(lines)


def later_arms(what: str, protocol: Protocol) -> tuple[str, ...]:
    """The arms of what was asked after the first results."""
    return tuple(swept_arms(protocol, tuned(protocol)) if what == "swept" else longer_arms(protocol))


def later_table(found: Comparison) -> str:
    """The new cycle beside the protocol's and a constant rate."""
    peaks = {arm: [run["finder"]["learning_rate"] for run in found.of(arm) if run["finder"]] for arm in found.arms}
    told = [f"- {arm}: peaks from {min(own):.2g} to {max(own):.2g}." for arm, own in peaks.items() if own]
    told += [f"- {found.verdicts[arm]['final'].sentence}" for arm in found.arms[1:]]
    roots = [root_table(found)] if found.metric == "val_loss" else []
    return "\n\n".join([f"{counted(found)}.", found.table(), *roots, "\n".join(told)])


def extra(what: str) -> str:
    """The arms of one of the article's pictures: training loss after each epoch, one seed."""
    lines = ["| arm | training loss after each epoch | test accuracy at the end |", "|---|---|---|"]
    order = picture_arms() if what == "picture" else batch_arms()
    records = {arm: record for (arm, _), record in read(RUNS / PICTURE_TASK / what).items()}
    for arm in (arm for arm in order if arm in records):
        history = records[arm].history
        losses = ", ".join(f"{value:.4g}" for value in history["loss"])
        lines.append(f"| {arm} | {losses} | {history['val_accuracy'][-1]:.1%} |")
    if what == "picture":
        draw_rates({record.config["optimizer"]["config"]["learning_rate"]: record for record in records.values()})
    return "\n".join(lines)


def draw_rates(records: dict[float, RunRecord]) -> None:
    """The article's picture: the training loss over the constant rate, what is off the scale as a number at its top."""
    rates = sorted(records)
    _, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    ax.axhline(np.log(10), color="grey", linestyle=":", label="a guess among ten classes")
    for epoch, marker, name in ((0, "o", "first epoch"), (-1, "s", "last epoch")):
        losses = np.array([records[rate].history["loss"][epoch] for rate in rates])
        (line,) = ax.plot(rates, np.minimum(losses, HIGHEST_LOSS), marker=marker, label=name, clip_on=False)
        for rate, loss in zip(rates, losses, strict=True):
            if loss > HIGHEST_LOSS:
                place = {"xytext": (0, 6 if epoch == 0 else -14), "textcoords": "offset points", "ha": "center"}
                ax.annotate(f"{loss:.2g}", (rate, HIGHEST_LOSS), color=line.get_color(), fontsize="small", **place)
    ax.set(xscale="log", ylim=(None, HIGHEST_LOSS), xlabel="constant learning rate", ylabel="training loss, CIFAR-10")
    ax.legend(frameon=False, loc=(0.29, 0.74))
    save_figure(ax, PICTURES / "rates.png")


def pictures(name: str, comparison: Comparison) -> None:
    """Where whole cycles end over their length, beside the curves of the constant rates; and every difference."""
    draw_lengths(comparison, PICTURES / f"{name}.png")
    save_figure(comparison.plot_differences(), PICTURES / f"{name}_differences.png")
    plt.close("all")


def draw_lengths(comparison: Comparison, path: Path) -> None:
    """A constant rate may stop at any epoch, a cycle at its end alone: so one is a curve, the other points."""
    _, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
    cycles = sorted((len(comparison.of(arm)[0]["steps"]), arm) for arm in comparison.arms if arm.startswith(CYCLE))
    shown = []
    for arm in comparison.arms:
        if not arm.startswith(CYCLE):
            mean, low, high = (np.array(comparison.curves[arm][part]) for part in ("mean", "low", "high"))
            epochs = np.arange(1, len(mean) + 1)
            (line,) = ax.plot(epochs, mean, label=arm)
            ax.fill_between(epochs, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
            shown.append(mean[len(mean) // 10 :])
    ends = np.array([[comparison.curves[arm][part][-1] for part in ("mean", "low", "high")] for _, arm in cycles])
    spread = np.abs(ends[:, 1:] - ends[:, :1]).T
    ax.errorbar(
        [length for length, _ in cycles], ends[:, 0], spread, fmt="D", color="black", capsize=4, label="whole 1cycles"
    )
    shown = np.concatenate([*shown, ends[np.isfinite(ends)]])
    room = 0.06 * np.ptp(shown)
    ax.set_ylim(shown.min() - room, shown.max() + room)
    ax.set(xscale="log", xlabel="epochs", ylabel=comparison.metric.replace("_", " "))
    ax.set_xticks([1, *(length for length, _ in cycles)], minor=False)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("")
    ax.set_title("mean over seeds with its 95 % interval", loc="left", fontsize="small")
    ax.figure.legend(loc="outside lower center", ncols=2, frameon=False)
    save_figure(ax, path)


def fill(text: str, name: str, content: str) -> str:
    """Put `content` between the marks of this name."""
    marks = f"<!-- {name} -->", f"<!-- /{name} -->"
    filled, count = re.subn(
        f"{marks[0]}.*?{marks[1]}", lambda _: f"{marks[0]}\n{content}\n{marks[1]}", text, flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"README.md has no place for {name}")
    return filled


if __name__ == "__main__":
    main()
