"""The schedule playground: sliders that redraw rate and momentum, computed in `assets/playground.js`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from onecycle.report import markup
from onecycle.report.parts import Figure, Section, Style, Toggle, View

NAME = "playground"
PEAK = 0.1  # where no result suggests one
FIGURE = Figure(
    title="Rate and momentum",
    says="The learning rate of each step above, the momentum below. The phases stand in the table.",
    views=(View("", (), {"xaxis": {}, "yaxis": {}}, ("y",)),),
    toggles={
        "Shown": (
            Toggle("rate", "learning rate", Style("blue", dash="solid")),
            Toggle("momentum", "momentum", Style("red", dash="dash")),
            Toggle("phases", "phases"),
        )
    },
    height=460,
)


@dataclass(frozen=True)
class Slider:
    """One argument of `OneCycle`: a slider and a field for the number itself.

    Attributes:
        name: the argument, or "high" and "low" of the momentum.
        label: what the page calls it.
        first, last: ends of the slider; the field takes others too.
        value: to begin with.
        log: whether the slider is logarithmic.
    """

    name: str
    label: str
    first: float
    last: float
    value: float
    log: bool = False


def playground(sections: Iterable[Section]) -> str:
    """Returns the playground's HTML. It begins with the first peak that one of the sections suggests."""
    peak = next((section.peak for section in sections if section.peak), PEAK)
    sliders = (
        Slider("max_learning_rate", "Peak (max_learning_rate)", 1e-6, 10, float(f"{peak:.3g}"), log=True),
        Slider("total_steps", "Steps (total_steps)", 1, 100_000, 1000, log=True),
        Slider("warmup_fraction", "Warm-up (warmup_fraction)", 0, 1, 0.45),
        Slider("final_fraction", "Final drop (final_fraction)", 0, 0.5, 0.1),
        Slider("initial_divisor", "Peak ÷ first rate (initial_divisor)", 1, 100, 10, log=True),
        Slider("final_divisor", "First ÷ last rate (final_divisor)", 1, 100_000, 1000, log=True),
        Slider("high", "Momentum, high", 0, 0.999, 0.95),
        Slider("low", "Momentum, low", 0, 0.999, 0.85),
    )
    drawn = "".join(_slider(each) for each in sliders) + _shape()
    head = "".join(
        f'<th scope="col"{" class=n" if n else ""}>{text}</th>'
        for n, text in enumerate(("phase", "from step", "to step", "rate from", "to", "momentum from", "to"))
    )
    return (
        '<section id="schedule" aria-labelledby="schedule-title"><h2 id="schedule-title">Schedule playground</h2>'
        "<p>Try a one-cycle schedule before training with it. The numbers are those of "
        "<code>onecycle.OneCycle(…).values()</code>.</p>"
        f'<div class="sliders">{drawn}</div><p class="wrong" id="playground-wrong" role="alert"></p>'
        f"{markup.figure(FIGURE, NAME)}"
        '<div class="scroll" role="region" tabindex="0" aria-label="Phases of the schedule">'
        f'<table id="playground-phases"><caption>Phases of the schedule</caption><thead><tr>{head}</tr></thead>'
        "<tbody></tbody></table></div>"
        '<pre class="wrap"><code id="playground-code"></code></pre></section>'
    )


def _slider(slider: Slider) -> str:
    ends = [math.log10(end) if slider.log else end for end in (slider.first, slider.last)]
    scale = ' data-scale="log" step="0.01"' if slider.log else ' step="0.001"' if slider.last > 0.99 else ' step="0.01"'
    if slider.name.endswith("_fraction"):
        scale = ' step="0.01"'
    auto = ""
    if slider.name == "warmup_fraction":
        auto = (
            '<label class="auto"><input type="checkbox" id="warmup-auto" checked>'
            "<span>half of what comes before the final drop</span></label>"
        )
    field = f"set-{slider.name}"
    return (
        f'<div class="slider"><label for="{field}">{markup.text(slider.label)}</label>'
        f'<input type="range" data-slides="{slider.name}" min="{ends[0]:g}" max="{ends[1]:g}"{scale} '
        f'aria-label="{markup.text(slider.label)}, slider">'
        f'<input type="number" id="{field}" data-setting="{slider.name}" step="any" value="{slider.value!r}">'
        f"{auto}</div>"
    )


def _shape() -> str:
    options = "".join(f'<option value="{shape}">{shape}</option>' for shape in ("linear", "cosine"))
    return (
        '<div class="slider"><label for="set-shape">Shape of the phases (shape)</label>'
        f'<select id="set-shape" data-setting="shape">{options}</select></div>'
    )
