"""Make the pictures of the README and the site from real runs on the digits: `make docs-pictures`.

All runs are seeded. The times in the table of the comparison depend on the machine. The pictures of the report need
Chromium.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from playwright.sync_api import sync_playwright

import onecycle
from onecycle.comparison import compare
from onecycle.plot import plot_range_test, plot_schedule, save_figure
from onecycle.report import write_report

FOLDER = Path(__file__).parent / "pictures"
SEEDS, EPOCHS, MARGIN = 10, 12, 0.005
# The learning rate of the baseline is the best of 0.01, 0.03 and 0.1.
ARMS: dict[str, dict[str, Any]] = {
    "constant 0.03": {"schedule": "constant", "max_learning_rate": 0.03},
    "constant 0.1": {"schedule": "constant", "max_learning_rate": 0.1},
    "1cycle": {"max_learning_rate": "auto"},
}


def main() -> None:
    """Make all pictures."""
    FOLDER.mkdir(exist_ok=True)
    result, compared = range_test(), comparison()
    cycle = onecycle.OneCycle(0.1, total_steps=1000)
    save_small(result.plot(), "range_test.png")
    save_small(plot_schedule(cycle, cycle.momentum()), "schedule.png")
    save_small(compared.plot(), "comparison.png")
    save_small(compared.plot_differences("final"), "differences.png")
    save_small(draw_front_picture(result), "front.png")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        write_report([compared, result], page, sources=["comparison.json", "found.json"])
        save_screenshots(page)


def digits() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return the digits as rows of 64 numbers."""
    (x, y), (x_test, y_test) = onecycle.tasks.load_task("digits").data
    return (x.reshape(-1, 64), y), (x_test.reshape(-1, 64), y_test)


def build() -> keras.Model:
    """Return a small dense model."""
    layers = [keras.layers.Dense(64, "relu"), keras.layers.Dense(64, "relu"), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((64,)), *layers])
    model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def range_test() -> onecycle.results.RangeTest:
    """Run a range test of the model."""
    keras.utils.set_random_seed(0)
    (x, y), _ = digits()
    return onecycle.find_learning_rate(build(), x, y, seed=0, verbose=0)


def comparison() -> onecycle.results.Comparison:
    """Compare constant learning rates with 1cycle."""
    return compare(build, digits(), ARMS, seeds=SEEDS, epochs=EPOCHS, margin=MARGIN, verbose=0)


def draw_front_picture(result: onecycle.results.RangeTest) -> Axes:
    """Draw the picture at the top of the README: the suggested learning rate, and the cycle that rises to it."""
    left, right = Figure(figsize=(11, 4.2), layout="constrained").subplots(1, 2)
    plot_range_test(result, left)
    cycle = onecycle.OneCycle(result.learning_rate, total_steps=1000)
    ax = plot_schedule(cycle, cycle.momentum(), right)
    ax.set_title(f"One cycle up to {result.learning_rate:.3g}", loc="left", fontweight="bold", pad=29)
    return ax


def save_small(ax: Axes, name: str) -> None:
    """Save a plot with at most 256 colors."""
    save_figure(ax, FOLDER / name)
    reduce_colors(FOLDER / name)


def save_screenshots(page: Path) -> None:
    """Save the report in a light desktop window down to its first plot, and on a dark phone at that plot."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        window = open_page(browser, page, width=1120, height=1000, color_scheme="light")
        end = window.evaluate("document.querySelector('#figure-0-0').getBoundingClientRect().bottom")
        window.screenshot(
            path=FOLDER / "report.png", full_page=True, clip={"x": 0, "y": 0, "width": 1120, "height": end}
        )
        phone = open_page(browser, page, width=390, height=844, color_scheme="dark")
        phone.evaluate("document.querySelector('figure').scrollIntoView()")
        phone.screenshot(path=FOLDER / "report_phone.png")
        browser.close()
    reduce_colors(FOLDER / "report.png")
    reduce_colors(FOLDER / "report_phone.png")


def open_page(browser: Any, page: Path, *, width: int, height: int, color_scheme: str) -> Any:
    """Open the page in a new window and wait until everything is drawn.

    Args:
        browser: Browser of Playwright.
        page: Path of the page.
        width: Width of the window, in pixels.
        height: Height of the window, in pixels.
        color_scheme: "light" or "dark".
    """
    window = browser.new_page(viewport={"width": width, "height": height}, color_scheme=color_scheme)
    window.goto(page.as_uri())
    window.evaluate("onecycle.ready")
    return window


def reduce_colors(path: Path) -> None:
    """Reduce a picture to 256 colors, which takes a third of the bytes."""
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
