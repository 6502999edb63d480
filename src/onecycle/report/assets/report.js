"use strict";
// Draws the figures with plotly and handles checkboxes, buttons and the theme. All text arrives as data, not as code.
window.onecycle = (() => {
  const root = document.documentElement;
  const figures = new Map();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const CONFIG = { displayModeBar: false, responsive: true, doubleClick: false };
  const ZOOM = 0.7;
  const MOVE = 0.25;

  /** "@blue/0.3" -> "rgba(...)", with the theme's colors from the style sheet. */
  function themeColor(color) {
    const [name, opacity] = color.slice(1).split("/");
    const hex = getComputedStyle(root).getPropertyValue(`--${name}`).trim();
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    return `rgba(${red},${green},${blue},${opacity ?? 1})`;
  }

  /** A deep copy with the theme's colors. Only values whose key ends in "color" are colors; names may contain "@". */
  function withThemeColors(value, key = "") {
    if (Array.isArray(value)) return value.map((item) => withThemeColors(item));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withThemeColors(item, name)]));
    }
    return typeof value === "string" && value.startsWith("@") && key.endsWith("color") ? themeColor(value) : value;
  }

  function axisLayout(given, letter, state) {
    const log = state.logs[letter];
    const axis = {
      gridcolor: "@grid", linecolor: "@rule", tickcolor: "@rule", ticks: "outside", ticklen: 4, zeroline: false,
      automargin: true, tickfont: { size: 12 }, nticks: state.div.clientWidth < 500 ? 6 : 0,
      ...given, type: log ? "log" : "linear",
    };
    axis.title = { text: given.title ?? "", standoff: 8, font: { size: 13 } };
    if (log) axis.dtick = undefined;
    const limits = given.range && log ? given.range.map(Math.log10) : given.range;
    // A logarithmic axis cannot start at 0 or below; plotly then chooses the limits.
    if (limits && limits.every(Number.isFinite)) axis.range = limits;
    else delete axis.range;
    return axis;
  }

  function layoutOf(view, state, on) {
    const given = view.layout;
    const shown = (item) => (item.keys ?? []).every(on);
    const withoutKeys = ({ keys, ...rest }) => rest;
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      font: { color: "@ink", family: "system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif", size: 13 },
      hoverlabel: { namelength: -1, bgcolor: "@panel", bordercolor: "@rule", font: { color: "@ink" } },
      dragmode: touch ? false : "zoom", margin: { l: 20, r: 14, t: 12, b: 20, pad: 2 },
      ...given,
      xaxis: axisLayout(given.xaxis, "x", state), yaxis: axisLayout(given.yaxis, "y", state),
      shapes: (given.shapes ?? []).filter(shown).map(withoutKeys),
      annotations: (given.annotations ?? []).filter(shown).map(withoutKeys),
      // While this stays the same, plotly keeps the user's zoom.
      uirevision: `${state.view} ${state.logs.x} ${state.logs.y} ${state.resets}`,
    };
    return withThemeColors(layout);
  }

  function draw(name) {
    const state = figures.get(name);
    const view = state.spec.views[state.view];
    const on = (key) => !state.off.has(key);
    const traces = view.traces.map((trace) => ({ ...withThemeColors(trace), visible: trace.meta.keys.every(on) }));
    return Plotly.react(state.div, traces, layoutOf(view, state, on), CONFIG);
  }

  function chooseView(state, number) {
    state.view = number;
    const { layout, logs } = state.spec.views[number];
    state.logs = { x: layout.xaxis.type === "log", y: layout.yaxis.type === "log" };
    for (const button of state.box.querySelectorAll("[data-log]")) {
      button.hidden = !logs.includes(button.dataset.log);
      button.setAttribute("aria-pressed", state.logs[button.dataset.log]);
    }
  }

  /** Zooms and moves by buttons, for users who do not drag with a mouse. */
  function zoomOrMove(state, action) {
    if (action === "reset") {
      state.resets += 1;
      return draw(state.name);
    }
    const change = {};
    for (const letter of ["x", "y"]) {
      const { range, fixedrange } = state.div.layout[`${letter}axis`];
      const moving = action === "left" || action === "right";
      if (!range || fixedrange || (moving && letter === "y")) continue;
      const [first, last] = range;
      const span = last - first;
      const shift = action === "left" ? -MOVE * span : action === "right" ? MOVE * span : 0;
      const margin = moving ? 0 : ((action === "in" ? ZOOM - 1 : 1 / ZOOM - 1) * span) / 2;
      change[`${letter}axis.range`] = [first - margin + shift, last + margin + shift];
    }
    return Plotly.relayout(state.div, change);
  }

  /** Draws a figure of the page and connects its controls. */
  function addFigure(name, spec) {
    const div = document.getElementById(name);
    const box = div.closest("figure");
    const state = { name, spec, div, box, view: 0, off: new Set(), logs: {}, resets: 0 };
    figures.set(name, state);
    chooseView(state, 0);
    for (const input of box.querySelectorAll("[data-key]")) {
      const apply = () => (input.checked ? state.off.delete(input.dataset.key) : state.off.add(input.dataset.key));
      apply();
      input.addEventListener("change", () => (apply(), draw(name)));
    }
    for (const button of box.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => zoomOrMove(state, button.dataset.do));
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
      chooseView(state, Number(event.target.value));
      draw(name);
    });
    return Promise.resolve(draw(name)).then(() => div.on("plotly_doubleclick", () => zoomOrMove(state, "reset")));
  }

  const redraw = () => figures.forEach((state, name) => draw(name));

  function connectThemes() {
    const button = document.getElementById("theme");
    const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
    const updateButton = () => button.setAttribute("aria-pressed", isDark());
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      updateButton();
      redraw();
    });
    dark.addEventListener("change", () => (updateButton(), redraw()));
    let before;
    // Paper is white.
    addEventListener("beforeprint", () => ((before = root.dataset.theme), (root.dataset.theme = "light"), redraw()));
    addEventListener("afterprint", () => {
      if (before) root.dataset.theme = before;
      else delete root.dataset.theme;
      redraw();
    });
    updateButton();
  }

  async function drawAll() {
    const notice = document.getElementById("no-script");
    try {
      await window.plotlyReady;
    } catch (error) {
      notice.textContent = `The figures need a browser of 2023 or later; the tables hold all numbers. (${error})`;
      throw error;
    }
    notice.remove();
    const specs = JSON.parse(document.getElementById("figures").textContent);
    await Promise.all(Object.entries(specs).map(([name, spec]) => addFigure(name, spec)));
  }

  connectThemes();
  const ready = drawAll();
  return { figures, draw, ready };
})();
