"""The schedule playground: sliders that redraw learning rate and momentum, computed in `assets/playground.js`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from onecycle.report import markup
from onecycle.report.parts import Figure, Section, Style, Toggle, View

NAME = "playground"
PEAK = 0.1  # the peak where no result suggests one
FIGURE = Figure(
    title="Rate and momentum",
    description="The learning rate of each step above, the momentum below. The table lists the phases.",
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
HEADINGS = ("phase", "from step", "to step", "rate from", "to", "momentum from", "to")


@dataclass(frozen=True)
class Slider:
    """An argument of `OneCycle` with a slider, and a field for the exact number.

    Attributes:
        name: Name of the argument, or "high" or "low" of the momentum.
        label: Label on the page.
        first: Left end of the slider. The field also accepts numbers outside the slider.
        last: Right end of the slider.
        value: Initial value.
        logarithmic: Whether the slider is logarithmic.
    """

    name: str
    label: str
    first: float
    last: float
    value: float
    logarithmic: bool = False


def playground_html(sections: Iterable[Section]) -> str:
    """Return the HTML of the playground. It starts with the first peak that one of the sections suggests."""
    peak = next((section.peak for section in sections if section.peak), PEAK)
    controls = "".join(map(_slider, _sliders(peak))) + _shape()
    head = "".join(f'<th scope="col"{" class=n" if column else ""}>{text}</th>' for column, text in enumerate(HEADINGS))
    return (
        '<section id="schedule" aria-labelledby="schedule-title"><h2 id="schedule-title">Schedule playground</h2>'
        "<p>Try a one-cycle schedule before training with it. The numbers are those of "
        "<code>onecycle.OneCycle(…).values()</code>.</p>"
        f'<div class="sliders">{controls}</div><p class="error" id="playground-error" role="alert"></p>'
        f"{markup.figure_html(FIGURE, NAME)}"
        '<div class="scroll" role="region" tabindex="0" aria-label="Phases of the schedule">'
        f'<table id="playground-phases"><caption>Phases of the schedule</caption><thead><tr>{head}</tr></thead>'
        "<tbody></tbody></table></div>"
        '<pre class="wrap"><code id="playground-code"></code></pre></section>'
    )


def _sliders(peak: float) -> tuple[Slider, ...]:
    return (
        Slider("max_learning_rate", "Peak (max_learning_rate)", 1e-6, 10, float(f"{peak:.3g}"), logarithmic=True),
        Slider("total_steps", "Steps (total_steps)", 1, 100_000, 1000, logarithmic=True),
        Slider("warmup_fraction", "Warm-up (warmup_fraction)", 0, 1, 0.45),
        Slider("final_fraction", "Final drop (final_fraction)", 0, 0.5, 0.1),
        Slider("initial_divisor", "Peak ÷ first rate (initial_divisor)", 1, 100, 10, logarithmic=True),
        Slider("final_divisor", "First ÷ last rate (final_divisor)", 1, 100_000, 1000, logarithmic=True),
        Slider("high", "Momentum, high", 0, 0.999, 0.95),
        Slider("low", "Momentum, low", 0, 0.999, 0.85),
    )


def _slider(slider: Slider) -> str:
    # The position of a logarithmic slider is the exponent.
    ends = [math.log10(end) if slider.logarithmic else end for end in (slider.first, slider.last)]
    field, label = f"set-{slider.name}", markup.escape(slider.label)
    return (
        f'<div class="slider"><label for="{field}">{label}</label>'
        f'<input type="range" data-slides="{slider.name}" min="{ends[0]:g}" max="{ends[1]:g}"{_scale(slider)} '
        f'aria-label="{label}, slider">'
        f'<input type="number" id="{field}" data-setting="{slider.name}" step="any" value="{slider.value!r}">'
        f"{_default_warmup() if slider.name == 'warmup_fraction' else ''}</div>"
    )


def _scale(slider: Slider) -> str:
    """Return the attributes for the scale and the step of a slider."""
    if slider.logarithmic:
        return ' data-scale="log" step="0.01"'
    return ' step="0.01"' if slider.name.endswith("_fraction") else ' step="0.001"'


def _default_warmup() -> str:
    """Return the checkbox for the default of `warmup_fraction`, which is None."""
    return (
        '<label class="auto"><input type="checkbox" id="warmup-auto" checked>'
        "<span>half of the steps before the final drop</span></label>"
    )


def _shape() -> str:
    options = "".join(f'<option value="{shape}">{shape}</option>' for shape in ("linear", "cosine"))
    return (
        '<div class="slider"><label for="set-shape">Shape of the phases (shape)</label>'
        f'<select id="set-shape" data-setting="shape">{options}</select></div>'
    )
