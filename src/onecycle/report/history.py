"""The report's figure of the metrics after each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onecycle.report.parts import DataTable, Figure, Style, Toggle, View
from onecycle.report.traces import NUMBER, all_positive, literal_text, scatter

TRAINING, VALIDATION = Style("blue", "solid", "circle"), Style("red", "dash", "square")
SCHEDULED = ("learning_rate", "momentum")  # columns with the values of the cycle, which has another figure

History = Mapping[str, Sequence[float]]


def history_figure(history: History) -> Figure | None:
    """Return the figure of a training's metrics, with a view for each, or None if there are none.

    Args:
        history: Metric name -> its value after each epoch.
    """
    names = [name for name in history if not name.startswith(SCHEDULED) and len(history[name])]
    metrics = [name for name in names if not name.startswith("val_") or name.removeprefix("val_") not in names]
    if not metrics:
        return None
    toggles = [Toggle("training", "training", TRAINING)]
    if any(f"val_{name}" in names for name in metrics):
        toggles.append(Toggle("validation", "validation", VALIDATION))
    return Figure(
        title="Metrics after each epoch",
        description=f"The metrics after each epoch: {', '.join(names)}.",
        views=tuple(_view(name, history) for name in metrics),
        toggles={"Shown": toggles},
        tables=(_table(names, history),),
        height=360,
    )


def _view(name: str, history: History) -> View:
    validation = history.get(f"val_{name}", ())
    traces = [
        scatter(
            None, values, style, name=f"{key} {name}", keys=[key],
            hover=f"epoch %{{x}}<br>{key} %{{y:{NUMBER}}}<extra></extra>",
        )
        for key, values, style in (("training", history[name], TRAINING), ("validation", validation, VALIDATION))
        if len(values)
    ]  # fmt: skip
    layout = {"xaxis": {"title": "epoch"}, "yaxis": {"title": literal_text(name)}}
    return View(name, traces, layout, ("y",) if all_positive([*history[name], *validation]) else ())


def _table(names: Sequence[str], history: History) -> DataTable:
    epochs = max(len(history[name]) for name in names)
    # Validation may be rarer, and a callback may record a metric in some epochs only.
    rows = [(k + 1, *(history[name][k] if k < len(history[name]) else None for name in names)) for k in range(epochs)]
    return DataTable("The metrics after each epoch", ("epoch", *names), rows, folded=True)
