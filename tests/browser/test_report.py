"""The report in a real browser, opened from disk without network."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from render.sample_comparisons import COMPARISONS
from render.sample_cycles import CYCLES
from render.sample_range_tests import RANGE_TESTS
from render.sample_results import with_arms_named

from onecycle.report import write_report

HOSTILE = "</script><script>window.hacked = 1; alert(1)</script>"
IMAGE = '<img src="x" onerror="window.hacked = 1">'
RANGE, CURVES, DIFFERENCES, RATES = "figure-0-0", "figure-1-0", "figure-1-1", "figure-2-0"
SHOWN = "name => document.getElementById(name).data.filter(trace => trace.visible).map(trace => trace.name)"
PRESSED = "() => [...document.querySelectorAll('[data-log]')].map(el => el.ariaPressed)"
RESTORE = """pressed => {
  delete document.documentElement.dataset.theme;
  document.querySelectorAll('details').forEach(el => { el.open = false; });
  document.querySelectorAll('[data-view]').forEach(el => { el.value = 0; el.dispatchEvent(new Event('change')); });
  document.querySelectorAll('[data-key]:not(:checked), [data-do=reset]').forEach(el => el.click());
  document.querySelectorAll('[data-log]').forEach((el, n) => { if (el.ariaPressed !== pressed[n]) el.click(); });
  scrollTo(0, 0);
  document.activeElement.blur();
}"""
AXIS = "([name, axis]) => { const {type, range} = document.getElementById(name).layout[axis]; return {type, range}; }"


RANGE_TEST = RANGE_TESTS["pretty"]
COMPARISON = with_arms_named(COMPARISONS["pretty"], ("plain", HOSTILE, IMAGE))
CYCLE = CYCLES["short"]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report on a range test, a comparison whose arms have hostile names, and a cycle."""
    path = tmp_path_factory.mktemp("report") / "report & <b>.html"
    write_report([RANGE_TEST, COMPARISON, CYCLE], path, sources=["range.json", HOSTILE, "cycle.json"])
    return path


@pytest.fixture(scope="module")
def opened(open_page, report):
    """The report, opened once, since a browser needs seconds to read it."""
    return open_page(report)


@pytest.fixture
def page(opened):
    """The report in its initial state, which is restored after each test."""
    page = opened.page
    pressed = page.evaluate(PRESSED)
    yield page
    page.emulate_media(media="screen", color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.mouse.move(0, 0)
    page.evaluate(RESTORE, pressed)


@pytest.fixture(scope="module")
def extreme(tmp_path_factory):
    """A report on results with missing and extreme values."""
    path = tmp_path_factory.mktemp("extreme") / "report.html"
    range_tests = [result for name, result in RANGE_TESTS.items() if name != "pretty"]
    write_report([*range_tests, *COMPARISONS.values(), *CYCLES.values()], path)
    return path


def pixel_of(page, name, x, y):
    """Return the position of a point of a figure on the screen."""
    return page.evaluate(
        """([name, x, y]) => {
          const div = document.getElementById(name), box = div.getBoundingClientRect();
          const {xaxis, yaxis} = div._fullLayout;
          return [box.x + xaxis._offset + xaxis.d2p(x), box.y + yaxis._offset + yaxis.d2p(y)];
        }""",
        [name, x, y],
    )


def hovered(page, name, x, y):
    """Return the text of the hover label at a point."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    at = pixel_of(page, name, x, y)
    page.mouse.move(*at, steps=2)
    page.wait_for_timeout(200)  # plotly does not react to every move of the mouse
    return page.locator(f"#{name} .hoverlayer").text_content().replace("−", "-")


def test_page_opens_without_errors_and_requests(open_page, opened, extreme):
    """There is no console message, error or dialog, and no request but for the file, even with extreme results."""
    for each in (opened, open_page(extreme)):
        assert each.messages == []
        assert each.requests == [each.url]
        figures = "[...onecycle.figures.values()]"
        assert each.page.evaluate(f"{figures}.every(({{div}}) => div.querySelector('.plot-container'))")


def test_policy_blocks_requests_and_other_scripts(open_page, report):
    """A script that was injected could neither run nor send anything."""
    injected = open_page(report)
    with pytest.raises(Exception, match="Failed to fetch"):
        injected.page.evaluate("fetch('https://example.invalid/')")
    injected.page.evaluate(
        """() => { const script = document.createElement('script'); script.textContent = 'window.hacked = 1';
                   document.body.append(script); document.body.insertAdjacentHTML('beforeend',
                   '<img src="https://example.invalid/a.png" onerror="window.hacked = 1">'); }"""
    )
    assert injected.page.evaluate("window.hacked") is None
    assert injected.requests == [injected.url]


def test_hostile_names_are_shown_literally(page):
    """In tables, beside checkboxes, on figures and in hover labels hostile names are text, and nothing runs."""
    arms = page.locator("#result-1 table").first.locator("tbody th").all_text_contents()
    assert arms == ["plain", HOSTILE, IMAGE]
    assert HOSTILE in page.locator(f"figure[data-figure={CURVES}] fieldset").first.text_content()
    assert IMAGE[:30] in page.locator(f"#{DIFFERENCES} .annotation-text").nth(1).text_content()
    mean = COMPARISON.curves[HOSTILE]["mean"]
    assert HOSTILE in hovered(page, CURVES, 3, mean[2])
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize("mark", ["chosen", "another"])
def test_hover_label_of_a_mark_has_the_exact_numbers(page, mark):
    """The label has the name of the rule, its rate and the smoothed loss there with seven digits."""
    rule = RANGE_TEST.rule if mark == "chosen" else "valley"
    rate = RANGE_TEST.suggestions[rule].learning_rate
    loss = float(np.interp(np.log(rate), np.log(RANGE_TEST.learning_rates), RANGE_TEST.smoothed))
    label = hovered(page, RANGE, rate, loss)
    assert rule in label
    numbers = [float(number) for number in re.findall(r"(?:rate|loss) ([-\d.e+]+?)(?=loss|[a-z]|$)", label)]
    np.testing.assert_allclose(numbers, [rate, loss], rtol=1e-6)


def test_hover_label_of_a_difference_has_the_seed(page):
    """The label of a point of the paired differences has its seed and its exact difference."""
    difference = COMPARISON.verdicts[HOSTILE]["final"].differences[2]
    height = page.evaluate(f"document.getElementById('{DIFFERENCES}').data[0].y[2]")
    label = hovered(page, DIFFERENCES, difference, height)
    assert f"seed {COMPARISON.seeds[2]}" in label
    assert f"{difference:.7g}".rstrip("0") in label


def test_cycle_shows_rate_momentum_and_the_steps_made(page):
    """The drawn values are those of the report, the shaded part is a checkbox, and the label has the exact rate."""
    drawn = page.evaluate(f"document.getElementById('{RATES}').data.map(({{x, y}}) => [x, y])")
    assert drawn[0] == [CYCLE.steps_shown.tolist(), CYCLE.learning_rates.tolist()]
    assert drawn[2] == [CYCLE.steps_shown.tolist(), CYCLE.momenta.tolist()]
    assert drawn[1][0] == drawn[3][0] == list(range(CYCLE.steps))
    rate = CYCLE.learning_rates[8]
    assert hovered(page, RATES, 8, rate) == f"step 8learning rate {rate:.7g}"
    shaded = f"document.getElementById('{RATES}').layout.shapes.map(({{x0, x1}}) => [x0, x1])"
    assert page.evaluate(shaded) == [[0, CYCLE.steps]]
    page.locator(f"figure[data-figure={RATES}]").get_by_label("5 of 12 steps completed", exact=True).uncheck()
    assert page.evaluate(shaded) == []


def test_checkboxes_work_with_the_keyboard(page):
    """The space bar shows and hides rules, curves, arms and seeds; a trace is drawn while all its boxes are ticked."""

    def press(figure, label):
        box = page.locator(f"figure[data-figure={figure}]").get_by_label(label, exact=True)
        box.focus()
        page.keyboard.press("Space")

    before = page.evaluate(SHOWN, RANGE)
    points = page.locator(f"#{RANGE} .scatterlayer .point").count()
    press(RANGE, "loss of each batch")
    assert set(before) - set(page.evaluate(SHOWN, RANGE)) == {"loss"}
    assert page.locator(f"#{RANGE} .scatterlayer .point").count() < points - 100
    press(RANGE, "loss of each batch")
    assert page.evaluate(SHOWN, RANGE) == before

    seed = "plain, seed 3"
    assert seed in page.evaluate(SHOWN, CURVES)
    press(CURVES, "3")
    assert seed not in page.evaluate(SHOWN, CURVES)
    assert "plain, seed 4" in page.evaluate(SHOWN, CURVES)
    press(CURVES, "each seed")
    assert not [name for name in page.evaluate(SHOWN, CURVES) if "seed" in name]
    page.locator(f"figure[data-figure={CURVES}] fieldset").first.locator("input").first.uncheck()
    assert "plain" not in page.evaluate(SHOWN, CURVES)


def test_buttons_zoom_move_and_change_the_scale(page):
    """With the keyboard, the buttons zoom in and out, move left and right, reset, and switch to a linear scale."""
    figure = page.locator(f"figure[data-figure={RANGE}]")

    def press(name):
        figure.get_by_role("button", name=name, exact=True).focus()
        page.keyboard.press("Enter")
        return page.evaluate(AXIS, [RANGE, "xaxis"])

    first = page.evaluate(AXIS, [RANGE, "xaxis"])
    assert first["type"] == "log"
    near = press("Zoom in")
    assert np.ptp(near["range"]) == pytest.approx(0.7 * np.ptp(first["range"]))
    assert press("Move right")["range"][0] > near["range"][0]
    assert press("Zoom out")["range"][0] > first["range"][0]
    np.testing.assert_allclose(press("Show everything again")["range"], first["range"])
    linear = press("log horizontal")
    assert linear["type"] == "linear"
    np.testing.assert_allclose(np.log10(linear["range"]), first["range"])
    assert figure.get_by_role("button", name="log horizontal").get_attribute("aria-pressed") == "false"


def test_measure_of_the_differences_can_be_chosen(page):
    """Times are ratios on a logarithmic axis, and the points are those of the verdict."""
    page.locator(f"figure[data-figure={DIFFERENCES}] select").select_option("epochs to the target")
    assert page.evaluate(AXIS, [DIFFERENCES, "xaxis"])["type"] == "log"
    drawn = page.evaluate(f"document.getElementById('{DIFFERENCES}').data[0].x")
    np.testing.assert_array_equal(drawn, COMPARISON.verdicts[HOSTILE]["epochs"].differences)


def test_tables_show_the_saved_result(page, tmp_path):
    """The tables show the numbers of the JSON file with six digits, and hold all their digits in the HTML."""
    RANGE_TEST.save(tmp_path / "range.json")
    saved = json.loads((tmp_path / "range.json").read_text())["fields"]
    cells = page.evaluate(
        """() => [...document.querySelectorAll('#result-0 details tbody tr')].map(row =>
                   [...row.querySelectorAll('data')].map(cell => [cell.value, cell.textContent]))"""
    )
    for column, name in ((1, "learning_rates"), (2, "losses"), (3, "smoothed")):
        assert [float(row[column][0]) for row in cells] == saved[name]["values"]
        assert [row[column][1] for row in cells] == [f"{value:.6g}" for value in saved[name]["values"]]


def test_theme_follows_the_system_and_the_button(page):
    """The page is dark where the system is; the button changes page and figures; a printed page is white."""
    page.emulate_media(color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = f"document.getElementById('{RANGE}').layout.font.color"
    assert page.evaluate(paper) == "rgb(21, 24, 28)"
    dark = page.evaluate(ink)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert page.evaluate(ink) != dark
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(ink) == dark
    page.get_by_role("button", name="Dark colors").click()
    assert page.evaluate(paper) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colors_have_contrast(page, scheme):
    """Text has a contrast of at least 4.5 with its background, and drawn colors have one of 3 (WCAG 2.2, AA)."""
    page.emulate_media(color_scheme=scheme)
    names = ["paper", "panel", "ink", "soft", "link", "blue", "red", "green", "purple", "orange", "sky", "gray"]
    colors = page.evaluate(
        "names => names.map(name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim())",
        names,
    )

    def luminance(color):
        parts = np.asarray([int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    level = {name: luminance(color) for name, color in zip(names, colors, strict=True)}

    def contrast(one, other):
        high, low = sorted((level[one], level[other]), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert min(contrast(text, back) for text in ("ink", "soft", "link") for back in ("paper", "panel")) >= 4.5
    assert min(contrast(name, "paper") for name in names[5:]) >= 3


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_page_does_not_scroll_sideways(page, width):
    """On a screen and on a phone, only the boxes of tables scroll sideways."""
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(300)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...onecycle.figures.values()].every(({div}) => div.clientWidth <= innerWidth)")


def test_page_is_accessible(page):
    """The first tab stop skips to the results, every control has a name, and no level of headings is left out."""
    page.evaluate("() => { document.body.tabIndex = -1; document.body.focus(); }")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('input, select, button, [role=img], [role=region], figure')].filter(el =>
             !(el.labels?.length || el.ariaLabel || el.getAttribute('aria-labelledby') || el.textContent.trim()))
             .map(el => el.outerHTML)"""
    )
    assert unnamed == []
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(el => Number(el.tagName[1]))")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.locator(f"#{RANGE}").get_attribute("aria-label").startswith("Loss against learning rate. 200 steps")


def test_page_can_be_printed(page):
    """The buttons are not printed, the figures are."""
    page.emulate_media(media="print")
    assert not page.locator(f"figure[data-figure={RANGE}] .buttons").is_visible()
    assert page.locator(f"#{RANGE} svg").first.is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_page_without_javascript_has_the_tables(open_page, report, opened):
    """The tables are visible, and a sentence says what is missing."""
    page = open_page(report, java_script_enabled=False).page
    assert page.get_by_text("need JavaScript").is_visible()
    assert page.locator("#result-0 table").first.is_visible()
    assert not page.locator("#theme").is_visible()
    assert "need JavaScript" not in opened.page.locator("main").inner_text()
