"""The report's section on a batch size advice."""

from __future__ import annotations

from onecycle.plot.batch_size_info import BatchSizePicture, batch_size_picture
from onecycle.report.parts import DataTable, Figure, PlotlyObject, Section, Style, Toggle, View
from onecycle.report.traces import NUMBER, scatter, straight_line
from onecycle.results.batch_size import BatchSizeAdvice

TIME, SAMPLES = Style("blue", "solid", "circle"), Style("orange", "dash", "square")  # as in `plot/batch_size_draw.py`


def batch_size_section(result: BatchSizeAdvice) -> Section:
    """Return the report's section on a batch size advice."""
    rows = [
        (int(size), row["step"], row["throughput"], row["time"], row["samples"], row["rate"], row["note"])
        for size, row in zip(result.batch_sizes, result.rows(), strict=True)
    ]
    headings = ("batch size", "ms a step", "rows a second", "time", "samples", "learning rate", "")
    return Section(
        title="Batch size",
        verdict=result.verdict,
        details=(result.reason,),
        main_table=DataTable("Each batch size", headings, rows),
        figures=(_figure(batch_size_picture(result)),),
        settings={
            "training steps": result.training_steps,
            "batches compared": f"{result.micro_batches} of {result.micro_batch_size} rows",
            "scaling of the rate": result.scaling,
            "seed": result.seed,
            **result.config,
        },
        versions=result.versions,
        origin=result.origin,
        code=("onecycle.advise_batch_size(model, x, y)", "onecycle batch-size MODULE:FUNCTION"),
    )


def _figure(picture: BatchSizePicture) -> Figure:
    sizes = picture.sizes.tolist()
    toggles = [Toggle("time", "time to a target", TIME)]
    hover = f"batch size %{{x}}<br>%{{y:{NUMBER}}} of the least"
    traces = [scatter(picture.sizes, picture.times, TIME, name="time", keys=["time"], hover=hover)]
    if picture.samples is not None:
        toggles.append(Toggle("samples", "samples to a target", SAMPLES))
        traces.append(scatter(picture.sizes, picture.samples, SAMPLES, name="samples", keys=["samples"], hover=hover))
    shapes = []
    if picture.advised is not None:
        toggles.append(Toggle("advised", f"advised: {picture.advised}", Style("green", "solid")))
        shapes.append(straight_line("x", picture.advised, "green", keys=["advised"], dash="solid"))
    layout: PlotlyObject = {
        "xaxis": {"title": "batch size", "type": "log", "tickvals": sizes, "ticktext": [f"{size:g}" for size in sizes]},
        "yaxis": {"title": "relative to the least"},
        "shapes": shapes,
    }
    low, high = (values.tolist() for values in picture.band)
    rows = list(zip(sizes, picture.times.tolist(), low, high, strict=True))
    return Figure(
        title="Expected time and samples against batch size",
        description=f"{picture.title}. {picture.caption}",
        views=(View("", traces, layout, ("x", "y")),),
        toggles={"Shown": toggles},
        tables=(DataTable("Expected times", ("batch size", "time", "lowest", "highest"), rows, folded=True),),
    )
