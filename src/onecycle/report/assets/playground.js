"use strict";
// The schedule playground. `phases` and `valueAt` follow `one_cycle_phases` and `Curve` of `onecycle.schedules` step by
// step, in the same double precision; a test compares them with `OneCycle.values()`.
(() => {
  const NAME = "playground";
  const MAX_STEPS = 20000; // of a longer cycle, evenly chosen steps and the ends of the phases are drawn
  const inputs = new Map([...document.querySelectorAll("[data-setting]")].map((el) => [el.dataset.setting, el]));
  const sliders = new Map([...document.querySelectorAll("[data-slides]")].map((el) => [el.dataset.slides, el]));
  const auto = document.getElementById("warmup-auto");
  const error = document.getElementById("playground-error");

  /** Rounds as Python does: halves go to the even neighbor. */
  function round(x) {
    const floor = Math.floor(x);
    const over = x - floor;
    if (over !== 0.5) return over < 0.5 ? floor : floor + 1;
    return floor % 2 === 0 ? floor : floor + 1;
  }

  function phases(c) {
    const T = c.total_steps;
    const initial = c.max_learning_rate / c.initial_divisor;
    const final = initial / c.final_divisor;
    const phase = (name, start, stop, first, last) => ({ name, start, stop, first, last });
    if (T === 1) return [phase("final drop", 0, 1, initial, initial)];
    if (T === 2) return [phase("final drop", 0, 1, initial, final)];
    const last = T - 1;
    const drop = c.final_fraction ? Math.max(1, Math.floor(c.final_fraction * T)) : 0;
    const start = last - drop;
    const automatic = c.warmup_fraction === null;
    const requested = automatic ? Math.floor(start / 2) : Math.min(round(c.warmup_fraction * last), start);
    const peak = Math.min(Math.max(1, requested), last - 1);
    const warmup = phase("warm-up", 0, peak, initial, c.max_learning_rate);
    if (drop && peak < start) {
      const decay = phase("decay", peak, start, c.max_learning_rate, initial);
      return [warmup, decay, phase("final drop", start, last, initial, final)];
    }
    return [warmup, phase("decay", peak, last, c.max_learning_rate, final)];
  }

  function momentumPhases(ratePhases, high, low) {
    const ends = { "warm-up": [high, low], decay: [low, high], "final drop": [high, high] };
    return ratePhases.map((phase) => ({ ...phase, first: ends[phase.name][0], last: ends[phase.name][1] }));
  }

  function valueAt(curve, step, shape) {
    const phase = curve.find(({ stop }) => step < stop);
    if (!phase) return curve[curve.length - 1].last;
    const { start, stop, first, last } = phase;
    const p = (step - start) / (stop - start);
    const sine = Math.sin(p * (Math.PI / 2));
    const w = shape === "cosine" ? sine * sine : p;
    const value = first * (1 - w) + last * w;
    return Math.min(Math.max(value, Math.min(first, last)), Math.max(first, last));
  }

  function read() {
    const settings = {};
    for (const [name, input] of inputs) settings[name] = input.type === "number" ? input.valueAsNumber : input.value;
    if (auto.checked) settings.warmup_fraction = null;
    return settings;
  }

  /** The error that `OneCycle` would raise, in a sentence, or "". */
  function problem(c) {
    const within = (x, low, high) => Number.isFinite(x) && x >= low && x <= high;
    const warmup = c.warmup_fraction ?? 0;
    if (!(Number.isFinite(c.max_learning_rate) && c.max_learning_rate > 0)) return "The peak must be above 0.";
    if (!(Number.isInteger(c.total_steps) && c.total_steps >= 1)) return "The steps must be a whole number, 1 or more.";
    if (!within(warmup, 0, 1) || !within(c.final_fraction, 0, 1)) return "Fractions are from 0 to 1.";
    if (warmup + c.final_fraction > 1 + 1e-9) return "Warm-up and final drop must sum to at most 1: make one smaller.";
    if (!(c.initial_divisor >= 1) || !(c.final_divisor >= 1)) return "Divisors must be 1 or more.";
    if (!(within(c.low, 0, c.high) && c.high < 1)) return "Momentum needs 0 ≤ low ≤ high < 1.";
    return "";
  }

  function drawnSteps(T, ratePhases) {
    if (T <= MAX_STEPS) return Array.from({ length: T }, (_, step) => step);
    const chosen = Array.from({ length: MAX_STEPS }, (_, n) => Math.round((n * (T - 1)) / (MAX_STEPS - 1)));
    return [...new Set([...chosen, ...ratePhases.map(({ start }) => start), T - 1])].sort((a, b) => a - b);
  }

  function viewOf(c, ratePhases, momentum) {
    const x = drawnSteps(c.total_steps, ratePhases);
    const end = Math.max(1, c.total_steps - 1);
    const trace = (name, curve, color, dash, yaxis) => ({
      type: "scatter", mode: x.length < 40 ? "lines+markers" : "lines", name, x,
      y: x.map((step) => valueAt(curve, step, c.shape)), yaxis, line: { color, width: 2.5, dash },
      marker: { color, size: 5 }, meta: { keys: [name] },
      hovertemplate: `step %{x}<br>${name} %{y:.7~g}<extra></extra>`,
    });
    const names = ratePhases.map((phase, number) => ({
      text: phase.name, x: (phase.start + phase.stop) / 2, y: 1.01, yref: "paper", yanchor: "bottom", showarrow: false,
      font: { size: 12, color: "@soft" }, keys: ["phases"], number,
    }));
    const width = document.getElementById(NAME).clientWidth * 0.85; // of the plot without the axis
    const wide = (phase) => ((phase.stop - phase.start) / end) * width > 7 * phase.name.length;
    const shade = (phase, number) => ({
      type: "rect", layer: "below", x0: phase.start, x1: phase.stop, y0: 0, y1: 1, yref: "paper", line: { width: 0 },
      fillcolor: number % 2 ? "@gray/0.02" : "@gray/0.12", keys: ["phases"],
    });
    const momentumAxis = {
      title: { text: "momentum", standoff: 8, font: { size: 13 } }, domain: [0, 0.3], nticks: 4,
      gridcolor: "@grid", linecolor: "@rule", zeroline: false, automargin: true,
    };
    return {
      label: "", logs: ["y"],
      traces: [trace("rate", ratePhases, "@blue", "solid", "y"), trace("momentum", momentum, "@red", "dash", "y2")],
      layout: {
        xaxis: { title: "step", range: [-0.01 * end, 1.01 * end], anchor: "y2" },
        yaxis: { title: "learning rate", domain: [0.38, 1], exponentformat: "power" },
        yaxis2: { ...momentumAxis, range: [c.low - 0.02, c.high + 0.02] },
        margin: { l: 20, r: 14, t: 26, b: 20, pad: 2 },
        shapes: ratePhases.map(shade),
        annotations: names.filter(({ number }) => wide(ratePhases[number])).map(({ number, ...rest }) => rest),
      },
    };
  }

  function call(c) {
    const defaults = {
      warmup_fraction: null, final_fraction: 0.1, initial_divisor: 10, final_divisor: 1000, shape: "linear",
    };
    const changed = Object.keys(defaults).filter((name) => c[name] !== defaults[name]);
    const keywords = changed.map((name) => `, ${name}=${name === "shape" ? `"${c[name]}"` : c[name]}`).join("");
    return `onecycle.OneCycle(${c.max_learning_rate}, ${c.total_steps}${keywords})`;
  }

  function showPhases(c, ratePhases, momentum) {
    const body = document.querySelector("#playground-phases tbody");
    const short = (value) => String(Number(value.toPrecision(6)));
    const rows = ratePhases.map((phase, n) => [
      phase.name, phase.start, phase.stop, ...[phase.first, phase.last, momentum[n].first, momentum[n].last].map(short),
    ]);
    body.replaceChildren(...rows.map((cells) => {
      const row = document.createElement("tr");
      row.append(...cells.map((cell, n) => {
        const element = document.createElement(n ? "td" : "th");
        if (n) element.className = "n";
        else element.scope = "row";
        element.textContent = cell;
        return element;
      }));
      return row;
    }));
    document.getElementById("playground-code").textContent = call(c);
  }

  function update() {
    inputs.get("warmup_fraction").disabled = sliders.get("warmup_fraction").disabled = auto.checked;
    const c = read();
    error.textContent = problem(c);
    if (error.textContent) return;
    const ratePhases = phases(c);
    const momentum = momentumPhases(ratePhases, c.high, c.low);
    const state = window.onecycle.figures.get(NAME);
    state.spec.views = [viewOf(c, ratePhases, momentum)];
    state.resets += 1; // new settings have new ranges
    showPhases(c, ratePhases, momentum);
    window.onecycle.draw(NAME);
  }

  const isLog = (slider) => slider.dataset.scale === "log";
  const toSlider = (slider, value) => (isLog(slider) ? Math.log10(value) : value);
  function fromSlider(slider) {
    const value = isLog(slider) ? Number((10 ** slider.valueAsNumber).toPrecision(3)) : slider.valueAsNumber;
    return slider.dataset.slides === "total_steps" ? Math.round(value) : value;
  }

  for (const [name, slider] of sliders) {
    const input = inputs.get(name);
    const label = () => slider.setAttribute("aria-valuetext", input.value);
    slider.value = toSlider(slider, input.valueAsNumber);
    label();
    slider.addEventListener("input", () => ((input.value = fromSlider(slider)), label(), update()));
    input.addEventListener("input", () => ((slider.value = toSlider(slider, input.valueAsNumber)), label(), update()));
  }
  inputs.get("shape").addEventListener("change", update);
  auto.addEventListener("change", update);
  window.onecycle.ready.then(update);
})();
