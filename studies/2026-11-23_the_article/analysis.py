"""Fill the tables of README.md and draw pictures/ from the records in runs/, without training: python analysis.py"""

import re
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from follow_ups import LONGER_TASK, PICTURE_TASK, SWEPT_TASK, batch_arms, longer_arms, picture_arms, swept_arms
from raced_table import raced_table

from onecycle.comparison.article.protocol import CYCLE, PROTOCOLS, Protocol
from onecycle.comparison.article.reproduction import verdicts_against_cycle
from onecycle.comparison.article.savings import epoch_savings
from onecycle.comparison.evaluation import comparison_from_records
from onecycle.comparison.packed import documents
from onecycle.plot import save_figure
from onecycle.results import Comparison, RunRecord, codec

HERE = Path(__file__).parent
HIGHEST_LOSS = 3.0  # upper end of the loss axis; the loss of guessing is 2.3
SAVINGS_HEADING = (
    "Epochs saved by complete cycles, range test included "
    "(optimistic, because the shortest cycle is chosen after the runs):"
)
RUNS, PICTURES, README = HERE / "runs", HERE / "pictures", HERE / "README.md"


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    page = README.read_text(encoding="utf-8")
    for name, protocol in PROTOCOLS.items():
        folder = RUNS / name / "main"
        if not read(folder) or not complete_seeds(folder, tuple(protocol.main_arms(tuned(protocol)))):
            print(f"{name}: no seed has a complete set of runs yet")
            continue
        main_runs, side_runs = comparisons(protocol)
        page = fill(page, name, tables(protocol, main_runs, side_runs))
        if f"<!-- {name} raced -->" in page:
            page = fill(page, f"{name} raced", raced_table(protocol, main_runs, RUNS / name / "raced"))
        draw_pictures(name, main_runs)
    for experiment, task in (("swept", SWEPT_TASK), ("longer", LONGER_TASK)):
        arms = follow_up_arms(experiment, PROTOCOLS[task])
        if complete_seeds(RUNS / task / experiment, arms):
            table = follow_up_table(comparison_of(RUNS / task / experiment, arms, PROTOCOLS[task]))
            page = fill(page, experiment, table)
    for experiment in ("picture", "batch-size"):
        if read(RUNS / PICTURE_TASK / experiment):
            page = fill(page, experiment, loss_table(experiment))
    README.write_text(page, encoding="utf-8")


def comparisons(protocol: Protocol) -> tuple[Comparison, Comparison | None]:
    """Return the comparison of the main arms and, if all their runs exist, that of the side arms."""
    folder = RUNS / protocol.task
    arms = tuple(protocol.main_arms(tuned(protocol)))
    main_runs = comparison_of(folder / "main", arms, protocol)
    complete = len(read(folder / "side")) == len(protocol.side_arms()) * protocol.side_seeds
    return main_runs, comparison_of(folder / "side", tuple(protocol.side_arms()), protocol) if complete else None


def comparison_of(folder: Path, arms: tuple[str, ...], protocol: Protocol) -> Comparison:
    """Return the comparison over the seeds for which every arm has a record.

    Args:
        folder: Folder of the records.
        arms: Names of the arms, the baseline first.
        protocol: Protocol of the task.
    """
    records, seeds = read(folder), complete_seeds(folder, arms)
    runs = [records[arm, seed] for arm in arms for seed in seeds]
    metric = f"val_{protocol.metric}"
    return comparison_from_records(
        runs, arms, seeds, metric=metric, margin=protocol.margin, config={"epochs": protocol.epochs}
    )


def complete_seeds(folder: Path, arms: tuple[str, ...]) -> tuple[int, ...]:
    """Return the seeds for which every arm has a record."""
    records = read(folder)
    return tuple(sorted({seed for _, seed in records if all((arm, seed) in records for arm in arms)}))


@cache
def read(folder: Path) -> dict[tuple[str, int], RunRecord]:
    """Return the records of a folder, packed or single, by arm and seed."""
    records = [codec.from_document(document, name) for name, document in documents(folder).items()]
    return {(record.arm, record.seed): record for record in records}


def tuned(protocol: Protocol) -> dict[float, float]:
    """Return the constant learning rate chosen with the grid for each momentum."""
    return {momentum: max((merit, rate) for rate, merit in row)[1] for momentum, row in grid(protocol).items()}


def grid(protocol: Protocol) -> dict[float, list[tuple[float, float]]]:
    """Return for each momentum the learning rates and their merits.

    The merit is the mean over runs of the best held-out value, with the sign of a loss reversed; minus infinity if a
    run diverged.
    """
    values_of: dict[float, dict[float, list[float]]] = {0.0: {}, 0.9: {}}
    for record in read(RUNS / protocol.task / "grid").values():
        optimizer = record.config["optimizer"]["config"]
        values = record.history[f"val_{protocol.metric}"]
        sign = -1 if protocol.metric == "loss" else 1
        best = -np.inf if record.diverged else max(sign * value for value in values)
        values_of[optimizer["momentum"]].setdefault(optimizer["learning_rate"], []).append(best)
    return {
        momentum: sorted((rate, float(np.mean(all_))) for rate, all_ in row.items())
        for momentum, row in values_of.items()
    }


def tables(protocol: Protocol, main_runs: Comparison, side_runs: Comparison | None) -> str:
    """Return the tables and sentences of an experiment.

    Args:
        protocol: Protocol of the task.
        main_runs: Comparison of the main arms.
        side_runs: Comparison of the side arms, if it exists.
    """
    cycles = tuple(arm for arm in main_runs.arms if arm.startswith(CYCLE))
    saved = [epoch_savings(main_runs, arm, cycles) for arm in main_runs.arms if arm not in cycles]
    target = f"Target: {main_runs.target:.4g}, the mean over seeds of the baseline's best value."
    parts = [
        f"{number_of_seeds(main_runs)}. {target}",
        main_runs.table(),
        *([root_table(main_runs)] if protocol.metric == "loss" else []),
        "\n".join(f"- {main_runs.verdicts[arm]['final'].sentence}" for arm in main_runs.arms[1:]),
        "Compared with the full-length cycle:",
        "\n".join(f"- {verdict.sentence}" for verdict in verdicts_against_cycle(main_runs, side_runs)),
        SAVINGS_HEADING,
        "\n".join(f"- {one.summary()}" for one in saved),
    ]
    if side_runs is not None:
        parts += [f"Side arms, {number_of_seeds(side_runs)}:", side_runs.table()]
    parts += [
        "Constant learning rates of the grid, evaluated on held-out training data, the chosen one in bold:",
        grid_table(protocol),
    ]
    return "\n\n".join(parts)


def number_of_seeds(comparison: Comparison) -> str:
    """Return the number of seeds as text."""
    count = len(comparison.seeds)
    return f"{count} seed{'s' * (count > 1)}"


def root_table(comparison: Comparison) -> str:
    """Return the mean final squared error and the mean of its root, over the seeds that did not diverge."""
    lines = ["| arm | MSE | RMSE | seeds |", "|---|---|---|---|"]
    for arm in comparison.arms:
        finals = np.array([run["final"] for run in comparison.of(arm) if run["diverged"] is None])
        lines.append(f"| {arm} | {finals.mean():.2f} | {np.sqrt(finals).mean():.2f} | {len(finals)} |")
    return "\n".join(lines)


def grid_table(protocol: Protocol) -> str:
    """Return the table of the grid: the mean over seeds of the best value at each constant learning rate."""
    sign = -1 if protocol.metric == "loss" else 1
    lines = ["| momentum | learning rate: best value, mean over seeds |", "|---|---|"]
    for momentum, row in grid(protocol).items():
        chosen = tuned(protocol)[momentum]
        cell = ", ".join(
            f"{'**' * (rate == chosen)}{rate:.2g}: {sign * merit:.4g}{'**' * (rate == chosen)}" for rate, merit in row
        )
        lines.append(f"| {momentum:g} | {cell} |")
    return "\n".join(lines)


def follow_up_arms(experiment: str, protocol: Protocol) -> tuple[str, ...]:
    """Return the arms of a follow-up experiment outside the protocol."""
    return tuple(swept_arms(protocol, tuned(protocol)) if experiment == "swept" else longer_arms(protocol))


def follow_up_table(comparison: Comparison) -> str:
    """Return the table of a follow-up experiment: the new cycle, that of the protocol, and a constant learning rate."""
    peaks = {
        arm: [run["finder"]["learning_rate"] for run in comparison.of(arm) if run["finder"]] for arm in comparison.arms
    }
    lines = [f"- {arm}: peaks from {min(rates):.2g} to {max(rates):.2g}." for arm, rates in peaks.items() if rates]
    lines += [f"- {comparison.verdicts[arm]['final'].sentence}" for arm in comparison.arms[1:]]
    roots = [root_table(comparison)] if comparison.metric == "val_loss" else []
    return "\n\n".join([f"{number_of_seeds(comparison)}.", comparison.table(), *roots, "\n".join(lines)])


def loss_table(experiment: str) -> str:
    """Return the training losses of the arms of one of the article's figures, one seed; draw the first figure."""
    lines = ["| arm | training loss after each epoch | test accuracy at the end |", "|---|---|---|"]
    order = picture_arms() if experiment == "picture" else batch_arms()
    records = {arm: record for (arm, _), record in read(RUNS / PICTURE_TASK / experiment).items()}
    for arm in (arm for arm in order if arm in records):
        history = records[arm].history
        losses = ", ".join(f"{value:.4g}" for value in history["loss"])
        lines.append(f"| {arm} | {losses} | {history['val_accuracy'][-1]:.1%} |")
    if experiment == "picture":
        draw_rates({record.config["optimizer"]["config"]["learning_rate"]: record for record in records.values()})
    return "\n".join(lines)


def draw_rates(records: dict[float, RunRecord]) -> None:
    """Draw the article's figure, training loss against constant learning rate; larger losses are numbers at the top."""
    rates = sorted(records)
    _, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    ax.axhline(np.log(10), color="grey", linestyle=":", label="chance level")
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


def draw_pictures(name: str, comparison: Comparison) -> None:
    """Draw the ends of complete cycles against the curves of constant learning rates, and the paired differences."""
    draw_lengths(comparison, PICTURES / f"{name}.png")
    save_figure(comparison.plot_differences(), PICTURES / f"{name}_differences.png")
    plt.close("all")


def draw_lengths(comparison: Comparison, path: Path) -> None:
    """Draw constant learning rates as curves, because they may stop anywhere, and complete cycles as points."""
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
    lengths = [length for length, _ in cycles]
    ax.errorbar(lengths, ends[:, 0], spread, fmt="D", color="black", capsize=4, label="complete 1cycles")
    shown = np.concatenate([*shown, ends[np.isfinite(ends)]])
    room = 0.06 * np.ptp(shown)
    ax.set_ylim(shown.min() - room, shown.max() + room)
    ax.set(xscale="log", xlabel="epochs", ylabel=comparison.metric.replace("_", " "))
    ax.set_xticks([1, *lengths], minor=False)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("")
    ax.set_title("mean over seeds with 95 % interval", loc="left", fontsize="small")
    ax.figure.legend(loc="outside lower center", ncols=2, frameon=False)
    save_figure(ax, path)


def fill(text: str, name: str, content: str) -> str:
    """Return the text with `content` between the marks of a name.

    Args:
        text: Text of the page.
        name: Name of the marks.
        content: New content.
    """
    marks = f"<!-- {name} -->", f"<!-- /{name} -->"
    page, count = re.subn(
        f"{marks[0]}.*?{marks[1]}", lambda _: f"{marks[0]}\n{content}\n{marks[1]}", text, flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"README.md must contain {marks[0]} ... {marks[1]} once.")
    return page


if __name__ == "__main__":
    main()
