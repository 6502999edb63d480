"use strict";
// The schedule playground. `phases` and `valueAt` are `onecycle.recipes.one_cycle` and `onecycle.curves.Curve`, word for
// word and in the same doubles; a test compares them with `OneCycle.values()`.
(() => {
  const NAME = "playground";
  const MOST_STEPS = 20000; // beyond, evenly chosen steps are drawn, and the ends of the phases
  const inputs = new Map([...document.querySelectorAll("[data-setting]")].map((el) => [el.dataset.setting, el]));
  const sliders = new Map([...document.querySelectorAll("[data-slides]")].map((el) => [el.dataset.slides, el]));
  const auto = document.getElementById("warmup-auto");
  const wrong = document.getElementById("playground-wrong");

  /** As Python rounds: halves go to the even neighbour. */
  function rounded(x) {
    const floor = Math.floor(x);
    const over = x - floor;
    if (over !== 0.5) return over < 0.5 ? floor : floor + 1;
    return floor % 2 === 0 ? floor : floor + 1;
  }

  function phases(c) {
    const T = c.total_steps;
    const initial = c.max_learning_rate / c.initial_divisor;
    const final = initial / c.final_divisor;
    const make = (name, start, stop, first, last) => ({ name, start, stop, first, last });
    if (T === 1) return [make("final drop", 0, 1, initial, initial)];
    if (T === 2) return [make("final drop", 0, 1, initial, final)];
    const last = T - 1;
    const drop = c.final_fraction ? Math.max(1, Math.floor(c.final_fraction * T)) : 0;
    const start = last - drop;
    const wanted = c.warmup_fraction === null ? Math.floor(start / 2) : Math.min(rounded(c.warmup_fraction * last), start);
    const peak = Math.min(Math.max(1, wanted), last - 1);
    const up = make("warm-up", 0, peak, initial, c.max_learning_rate);
    if (drop && peak < start) {
      return [up, make("decay", peak, start, c.max_learning_rate, initial), make("final drop", start, last, initial, final)];
    }
    return [up, make("decay", peak, last, c.max_learning_rate, final)];
  }

  function momentumPhases(made, high, low) {
    const ends = { "warm-up": [high, low], decay: [low, high], "final drop": [high, high] };
    return made.map((phase) => ({ ...phase, first: ends[phase.name][0], last: ends[phase.name][1] }));
  }

  function valueAt(made, step, shape) {
    const phase = made.find(({ stop }) => step < stop);
    if (!phase) return made[made.length - 1].last;
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

  /** What `OneCycle` would refuse, in a sentence; "" for nothing. */
  function trouble(c) {
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

  function stepsOf(T, made) {
    if (T <= MOST_STEPS) return Array.from({ length: T }, (_, step) => step);
    const chosen = Array.from({ length: MOST_STEPS }, (_, n) => Math.round((n * (T - 1)) / (MOST_STEPS - 1)));
    return [...new Set([...chosen, ...made.map(({ start }) => start), T - 1])].sort((a, b) => a - b);
  }

  function specOf(c, made, slow) {
    const x = stepsOf(c.total_steps, made);
    const end = Math.max(1, c.total_steps - 1);
    const trace = (name, curve, color, dash, yaxis) => ({
      type: "scatter", mode: x.length < 40 ? "lines+markers" : "lines", name, x,
      y: x.map((step) => valueAt(curve, step, c.shape)), yaxis, line: { color, width: 2.5, dash },
      marker: { color, size: 5 }, meta: { keys: [name] }, hovertemplate: `step %{x}<br>${name} %{y:.7~g}<extra></extra>`,
    });
    const names = made.map((phase, number) => ({
      text: phase.name, x: (phase.start + phase.stop) / 2, y: 1.01, yref: "paper", yanchor: "bottom", showarrow: false,
      font: { size: 12, color: "@soft" }, keys: ["phases"], number,
    }));
    const width = document.getElementById(NAME).clientWidth * 0.85; // of the plot, without the axis
    const wide = (phase) => ((phase.stop - phase.start) / end) * width > 7 * phase.name.length;
    const shade = (phase, number) => ({
      type: "rect", layer: "below", x0: phase.start, x1: phase.stop, y0: 0, y1: 1, yref: "paper", line: { width: 0 },
      fillcolor: number % 2 ? "@grey/0.02" : "@grey/0.12", keys: ["phases"],
    });
    const second = { gridcolor: "@grid", linecolor: "@rule", zeroline: false, automargin: true, domain: [0, 0.3], nticks: 4 };
    return {
      label: "", logs: ["y"],
      traces: [trace("rate", made, "@blue", "solid", "y"), trace("momentum", slow, "@red", "dash", "y2")],
      layout: {
        xaxis: { title: "step", range: [-0.01 * end, 1.01 * end], anchor: "y2" },
        yaxis: { title: "learning rate", domain: [0.38, 1], exponentformat: "power" },
        yaxis2: { ...second, title: { text: "momentum", standoff: 8, font: { size: 13 } }, range: [c.low - 0.02, c.high + 0.02] },
        margin: { l: 20, r: 14, t: 26, b: 20, pad: 2 },
        shapes: made.map(shade),
        annotations: names.filter(({ number }) => wide(made[number])).map(({ number, ...rest }) => rest),
      },
    };
  }

  function call(c) {
    const defaults = { warmup_fraction: null, final_fraction: 0.1, initial_divisor: 10, final_divisor: 1000, shape: "linear" };
    const told = Object.keys(defaults).filter((name) => c[name] !== defaults[name]);
    const more = told.map((name) => `, ${name}=${name === "shape" ? `"${c[name]}"` : c[name]}`).join("");
    return `onecycle.OneCycle(${c.max_learning_rate}, ${c.total_steps}${more})`;
  }

  function tell(c, made, slow) {
    const body = document.querySelector("#playground-phases tbody");
    const short = (value) => String(Number(value.toPrecision(6)));
    const rows = made.map((phase, n) => [
      phase.name, phase.start, phase.stop, ...[phase.first, phase.last, slow[n].first, slow[n].last].map(short),
    ]);
    body.replaceChildren(...rows.map((cells) => {
      const row = document.createElement("tr");
      row.append(...cells.map((cell, n) => {
        const made = document.createElement(n ? "td" : "th");
        if (n) made.className = "n";
        else made.scope = "row";
        made.textContent = cell;
        return made;
      }));
      return row;
    }));
    document.getElementById("playground-code").textContent = call(c);
  }

  function update() {
    inputs.get("warmup_fraction").disabled = sliders.get("warmup_fraction").disabled = auto.checked;
    const c = read();
    wrong.textContent = trouble(c);
    if (wrong.textContent) return;
    const made = phases(c);
    const slow = momentumPhases(made, c.high, c.low);
    const state = window.onecycle.figures.get(NAME);
    state.spec.views = [specOf(c, made, slow)];
    state.resets += 1; // other settings, other ranges
    tell(c, made, slow);
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
    const say = () => slider.setAttribute("aria-valuetext", input.value);
    slider.value = toSlider(slider, input.valueAsNumber);
    say();
    slider.addEventListener("input", () => ((input.value = fromSlider(slider)), say(), update()));
    input.addEventListener("input", () => ((slider.value = toSlider(slider, input.valueAsNumber)), say(), update()));
  }
  inputs.get("shape").addEventListener("change", update);
  auto.addEventListener("change", update);
  window.onecycle.ready.then(update);
})();
