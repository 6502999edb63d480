"use strict";
// Draws the figures with plotly, and wires checkboxes, buttons and the theme. All text came in as data, not as code.
window.onecycle = (() => {
  const root = document.documentElement;
  const figures = new Map();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const CONFIG = { displayModeBar: false, responsive: true, doubleClick: false };
  const ZOOM = 0.7;
  const MOVE = 0.25;

  /** "@blue/0.3" -> "rgba(...)", in the theme's colours, which stand in the style sheet. */
  function tint(told) {
    const [role, opacity] = told.slice(1).split("/");
    const hex = getComputedStyle(root).getPropertyValue(`--${role}`).trim();
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    return `rgba(${red},${green},${blue},${opacity ?? 1})`;
  }

  /** A deep copy with the theme's colours. Only what is called a colour is one: names may begin with "@" as well. */
  function painted(value, key = "") {
    if (Array.isArray(value)) return value.map((item) => painted(item));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, painted(item, name)]));
    }
    return typeof value === "string" && value.startsWith("@") && key.endsWith("color") ? tint(value) : value;
  }

  function axis(told, letter, state) {
    const log = state.logs[letter];
    const made = {
      gridcolor: "@grid", linecolor: "@rule", tickcolor: "@rule", ticks: "outside", ticklen: 4, zeroline: false,
      automargin: true, tickfont: { size: 12 }, nticks: state.div.clientWidth < 500 ? 6 : 0,
      ...told, type: log ? "log" : "linear",
    };
    made.title = { text: told.title ?? "", standoff: 8, font: { size: 13 } };
    if (log) made.dtick = undefined;
    const limits = told.range && log !== undefined && log ? told.range.map(Math.log10) : told.range;
    // A limit of 0 or below has no place on a logarithmic axis; plotly then finds its own.
    if (limits && limits.every(Number.isFinite)) made.range = limits;
    else delete made.range;
    return made;
  }

  function layoutOf(view, state, on) {
    const own = view.layout;
    const shown = (item) => (item.keys ?? []).every(on);
    const bare = ({ keys, ...rest }) => rest;
    const made = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      font: { color: "@ink", family: "system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif", size: 13 },
      hoverlabel: { namelength: -1, bgcolor: "@panel", bordercolor: "@rule", font: { color: "@ink" } },
      dragmode: touch ? false : "zoom", margin: { l: 20, r: 14, t: 12, b: 20, pad: 2 },
      ...own,
      xaxis: axis(own.xaxis, "x", state), yaxis: axis(own.yaxis, "y", state),
      shapes: (own.shapes ?? []).filter(shown).map(bare),
      annotations: (own.annotations ?? []).filter(shown).map(bare),
      // While this stays the same, plotly keeps what a person zoomed to.
      uirevision: `${state.view} ${state.logs.x} ${state.logs.y} ${state.resets}`,
    };
    return painted(made);
  }

  function draw(name) {
    const state = figures.get(name);
    const view = state.spec.views[state.view];
    const on = (key) => !state.off.has(key);
    const traces = view.traces.map((trace) => ({ ...painted(trace), visible: trace.meta.keys.every(on) }));
    return Plotly.react(state.div, traces, layoutOf(view, state, on), CONFIG);
  }

  function choose(state, number) {
    state.view = number;
    const { layout, logs } = state.spec.views[number];
    state.logs = { x: layout.xaxis.type === "log", y: layout.yaxis.type === "log" };
    for (const button of state.box.querySelectorAll("[data-log]")) {
      button.hidden = !logs.includes(button.dataset.log);
      button.setAttribute("aria-pressed", state.logs[button.dataset.log]);
    }
  }

  /** Zooms and moves by buttons, for those who do not drag with a mouse. */
  function go(state, what) {
    if (what === "reset") {
      state.resets += 1;
      return draw(state.name);
    }
    const change = {};
    for (const letter of ["x", "y"]) {
      const { range, fixedrange } = state.div.layout[`${letter}axis`];
      const moving = what === "left" || what === "right";
      if (!range || fixedrange || (moving && letter === "y")) continue;
      const [first, last] = range;
      const span = last - first;
      const shift = what === "left" ? -MOVE * span : what === "right" ? MOVE * span : 0;
      const room = moving ? 0 : ((what === "in" ? ZOOM - 1 : 1 / ZOOM - 1) * span) / 2;
      change[`${letter}axis.range`] = [first - room + shift, last + room + shift];
    }
    return Plotly.relayout(state.div, change);
  }

  /** Makes a figure of the page live. */
  function add(name, spec) {
    const div = document.getElementById(name);
    const box = div.closest("figure");
    const state = { name, spec, div, box, view: 0, off: new Set(), logs: {}, resets: 0 };
    figures.set(name, state);
    choose(state, 0);
    for (const input of box.querySelectorAll("[data-key]")) {
      const settle = () => (input.checked ? state.off.delete(input.dataset.key) : state.off.add(input.dataset.key));
      settle();
      input.addEventListener("change", () => (settle(), draw(name)));
    }
    for (const button of box.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => go(state, button.dataset.do));
    }
    for (const button of box.querySelectorAll("[data-log]")) {
      button.addEventListener("click", () => {
        const letter = button.dataset.log;
        state.logs[letter] = !state.logs[letter];
        button.setAttribute("aria-pressed", state.logs[letter]);
        draw(name);
      });
    }
    box.querySelector("[data-view]")?.addEventListener("change", (event) => {
      choose(state, Number(event.target.value));
      draw(name);
    });
    return Promise.resolve(draw(name)).then(() => div.on("plotly_doubleclick", () => go(state, "reset")));
  }

  const redraw = () => figures.forEach((state, name) => draw(name));

  function themes() {
    const button = document.getElementById("theme");
    const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
    const tell = () => button.setAttribute("aria-pressed", isDark());
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      tell();
      redraw();
    });
    dark.addEventListener("change", () => (tell(), redraw()));
    let before;
    // Paper is white.
    addEventListener("beforeprint", () => ((before = root.dataset.theme), (root.dataset.theme = "light"), redraw()));
    addEventListener("afterprint", () => {
      if (before) root.dataset.theme = before;
      else delete root.dataset.theme;
      redraw();
    });
    tell();
  }

  document.getElementById("no-script").remove();
  themes();
  const specs = JSON.parse(document.getElementById("figures").textContent);
  const ready = Promise.all(Object.entries(specs).map(([name, spec]) => add(name, spec)));
  return { figures, draw, ready };
})();
