"""Makes every picture of the README and the site, from real runs on the digits: `make docs-pictures`.

All runs are seeded; the times in the comparison's table are those of the machine. Needs Chromium for the report's.
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
# The baseline's rate is the best of 0.01, 0.03 and 0.1.
ARMS: dict[str, dict[str, Any]] = {
    "constant 0.03": {"schedule": "constant", "max_learning_rate": 0.03},
    "constant 0.1": {"schedule": "constant", "max_learning_rate": 0.1},
    "1cycle": {"max_learning_rate": "auto"},
}


def main() -> None:
    """Make them all."""
    FOLDER.mkdir(exist_ok=True)
    found, compared = range_test(), comparison()
    cycle = onecycle.OneCycle(0.1, total_steps=1000)
    small(found.plot(), "range_test.png")
    small(sweep().plot(), "sweep.png")
    small(plot_schedule(cycle, cycle.momentum()), "schedule.png")
    small(compared.plot(), "comparison.png")
    small(compared.plot_differences("final"), "differences.png")
    small(front(found), "front.png")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        write_report([compared, found], page, sources=["comparison.json", "found.json"])
        photograph(page)


def digits() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """The digits as rows of 64 numbers."""
    (x, y), (x_test, y_test) = onecycle.tasks.load_task("digits").data
    return (x.reshape(-1, 64), y), (x_test.reshape(-1, 64), y_test)


def build() -> keras.Model:
    """A small dense network."""
    layers = [keras.layers.Dense(64, "relu"), keras.layers.Dense(64, "relu"), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((64,)), *layers])
    model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def range_test() -> onecycle.results.RangeTest:
    """A range test of that network."""
    keras.utils.set_random_seed(0)
    (x, y), _ = digits()
    return onecycle.find_learning_rate(build(), x, y, seed=0, verbose=0)


def sweep() -> onecycle.results.Sweep:
    """A sweep of that network."""
    keras.utils.set_random_seed(0)
    (x, y), _ = digits()
    return onecycle.sweep_learning_rates(build(), x, y, epochs=EPOCHS, seed=0, verbose=0)


def comparison() -> onecycle.results.Comparison:
    """Constant rates against 1cycle."""
    return compare(build, digits(), ARMS, seeds=SEEDS, epochs=EPOCHS, margin=MARGIN, verbose=0)


def front(found: Any) -> Axes:
    """The README's picture: the rate that is found, and the cycle that rises to it."""
    left, right = Figure(figsize=(11, 4.2), layout="constrained").subplots(1, 2)
    plot_range_test(found, left)
    cycle = onecycle.OneCycle(found.learning_rate, total_steps=1000)
    ax = plot_schedule(cycle, cycle.momentum(), right)
    ax.set_title(f"One cycle up to {found.learning_rate:.3g}", loc="left", fontweight="bold", pad=29)
    return ax


def small(ax: Axes, name: str) -> None:
    """Write a picture in few colours, which it has anyway."""
    save_figure(ax, FOLDER / name)
    squeeze(FOLDER / name)


def photograph(page: Path) -> None:
    """The report in a window, light, down to its first picture; and on a phone, dark, at that picture."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        window = opened(browser, page, width=1120, height=1000, color_scheme="light")
        end = window.evaluate("document.querySelector('#figure-0-0').getBoundingClientRect().bottom")
        window.screenshot(
            path=FOLDER / "report.png", full_page=True, clip={"x": 0, "y": 0, "width": 1120, "height": end}
        )
        phone = opened(browser, page, width=390, height=844, color_scheme="dark")
        phone.evaluate("document.querySelector('figure').scrollIntoView()")
        phone.screenshot(path=FOLDER / "report_phone.png")
        browser.close()
    squeeze(FOLDER / "report.png")
    squeeze(FOLDER / "report_phone.png")


def opened(browser: Any, page: Path, *, width: int, height: int, color_scheme: str) -> Any:
    """The page in a window of its own, once everything is drawn."""
    window = browser.new_page(viewport={"width": width, "height": height}, color_scheme=color_scheme)
    window.goto(page.as_uri())
    window.evaluate("onecycle.ready")
    return window


def squeeze(path: Path) -> None:
    """256 colours: a third of the bytes."""
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
