"""The report in a real browser, opened from disk with the network refused."""

import dataclasses
import json
import re
from itertools import pairwise

import numpy as np
import pytest
from render.test_comparison_plots import COMPARISONS
from render.test_plots import RANGE_TESTS

from onecycle.report import write_report

HOSTILE = "</script><script>window.hacked = 1; alert(1)</script>"
IMAGE = '<img src="x" onerror="window.hacked = 1">'
RANGE, CURVES, DIFFERENCES = "figure-0-0", "figure-1-0", "figure-1-1"
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


def named(result, names):
    """The comparison with its arms called otherwise."""
    told = dict(zip(result.arms, names, strict=True))
    return dataclasses.replace(
        result,
        arms=tuple(names),
        runs=tuple({**run, "arm": told[run["arm"]]} for run in result.runs),
        verdicts={told[arm]: of for arm, of in result.verdicts.items()},
        curves={told[arm]: of for arm, of in result.curves.items()},
    )


TESTED, COMPARED = RANGE_TESTS["pretty"], named(COMPARISONS["pretty"], ("plain", HOSTILE, IMAGE))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report on a range test and on a comparison whose arms' names are attacks."""
    path = tmp_path_factory.mktemp("report") / "report & <b>.html"
    write_report([TESTED, COMPARED], path, sources=["range.json", HOSTILE])
    return path


@pytest.fixture(scope="module")
def opened(open_page, report):
    """The report, opened once: to read it takes a browser seconds."""
    return open_page(report)


@pytest.fixture
def page(opened):
    """The report as it opens; what a test did to it is undone afterwards."""
    page = opened.page
    pressed = page.evaluate(PRESSED)
    yield page
    page.emulate_media(media="screen", color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.mouse.move(0, 0)
    page.evaluate(RESTORE, pressed)


@pytest.fixture(scope="module")
def ugly(tmp_path_factory):
    """A report on everything ugly."""
    path = tmp_path_factory.mktemp("ugly") / "report.html"
    ugly = [*(result for name, result in RANGE_TESTS.items() if name != "pretty"), *COMPARISONS.values()]
    write_report(ugly, path)
    return path


def pixel_of(page, name, x, y):
    """Where a point of a figure is on the screen."""
    return page.evaluate(
        """([name, x, y]) => {
          const div = document.getElementById(name), box = div.getBoundingClientRect();
          const {xaxis, yaxis} = div._fullLayout;
          return [box.x + xaxis._offset + xaxis.d2p(x), box.y + yaxis._offset + yaxis.d2p(y)];
        }""",
        [name, x, y],
    )


def hovered(page, name, x, y):
    """The text of the hover label at a point."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    at = pixel_of(page, name, x, y)
    page.mouse.move(*at, steps=2)
    page.wait_for_timeout(200)  # plotly answers a moving mouse now and then only
    return page.locator(f"#{name} .hoverlayer").text_content().replace("−", "-")


def test_it_opens_without_errors_and_asks_for_nothing(open_page, opened, ugly):
    """No console message, no error, no dialog, no request but for the file itself; ugly results as well."""
    for each in (opened, open_page(ugly)):
        assert each.said == []
        assert each.asked == [each.url]
        figures = "[...onecycle.figures.values()]"
        assert each.page.evaluate(f"{figures}.every(({{div}}) => div.querySelector('.plot-container'))")


def test_its_policy_refuses_the_network_and_strange_scripts(open_page, report):
    """Even a script that got in could neither run nor send anything."""
    own = open_page(report)
    with pytest.raises(Exception, match="Failed to fetch"):
        own.page.evaluate("fetch('https://example.invalid/')")
    own.page.evaluate(
        """() => { const script = document.createElement('script'); script.textContent = 'window.hacked = 1';
                   document.body.append(script); document.body.insertAdjacentHTML('beforeend',
                   '<img src="https://example.invalid/a.png" onerror="window.hacked = 1">'); }"""
    )
    assert own.page.evaluate("window.hacked") is None
    assert own.asked == [own.url]


def test_names_that_are_attacks_are_shown_as_they_are(page):
    """In the table, beside the checkbox, on the picture and on hover; nothing of them runs."""
    arms = page.locator("#result-1 table").first.locator("tbody th").all_text_contents()
    assert arms == ["plain", HOSTILE, IMAGE]
    assert HOSTILE in page.locator(f"figure[data-figure={CURVES}] fieldset").first.text_content()
    assert IMAGE[:30] in page.locator(f"#{DIFFERENCES} .annotation-text").nth(1).text_content()
    mean = COMPARED.curves[HOSTILE]["mean"]
    assert HOSTILE in hovered(page, CURVES, 3, mean[2])
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize("mark", ["chosen", "another"])
def test_hovering_tells_the_exact_number(page, mark):
    """A rule's mark says its rate and the smoothed loss there, in seven digits."""
    rule = TESTED.rule if mark == "chosen" else "valley"
    rate = TESTED.suggestions[rule].learning_rate
    loss = float(np.interp(np.log(rate), np.log(TESTED.learning_rates), TESTED.smoothed))
    told = hovered(page, RANGE, rate, loss)
    assert rule in told
    numbers = [float(number) for number in re.findall(r"(?:rate|loss) ([-\d.e+]+?)(?=loss|[a-z]|$)", told)]
    np.testing.assert_allclose(numbers, [rate, loss], rtol=1e-6)


def test_hovering_tells_a_seed_and_its_difference(page):
    """A point of the paired differences says whose it is."""
    difference = COMPARED.verdicts[HOSTILE]["final"].differences[2]
    spread = page.evaluate(f"document.getElementById('{DIFFERENCES}').data[0].y[2]")
    told = hovered(page, DIFFERENCES, difference, spread)
    assert f"seed {COMPARED.seeds[2]}" in told
    assert f"{difference:.7g}".rstrip("0") in told


def test_checkboxes_draw_and_hide_by_keyboard(page):
    """Rules, curves, arms and seeds go and come with the space bar; a trace is there while all its boxes are ticked."""

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


def test_scales_switch_and_zoom_goes_by_buttons(page):
    """Linear and logarithmic, in and out, left and right, and back to everything; by keyboard."""
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


def test_each_measure_of_the_differences_can_be_chosen(page):
    """Times are ratios on a logarithmic axis; the points are those of the verdict."""
    page.locator(f"figure[data-figure={DIFFERENCES}] select").select_option("epochs to the target")
    assert page.evaluate(AXIS, [DIFFERENCES, "xaxis"])["type"] == "log"
    drawn = page.evaluate(f"document.getElementById('{DIFFERENCES}').data[0].x")
    np.testing.assert_array_equal(drawn, COMPARED.verdicts[HOSTILE]["epochs"].differences)


def test_tables_are_the_saved_result(page, tmp_path):
    """What a person reads in the page's tables is in the JSON, to the digits shown; the whole numbers lie beneath."""
    TESTED.save(tmp_path / "range.json")
    saved = json.loads((tmp_path / "range.json").read_text())["fields"]
    cells = page.evaluate(
        """() => [...document.querySelectorAll('#result-0 details tbody tr')].map(row =>
                   [...row.querySelectorAll('data')].map(cell => [cell.value, cell.textContent]))"""
    )
    for column, name in ((1, "learning_rates"), (2, "losses"), (3, "smoothed")):
        assert [float(row[column][0]) for row in cells] == saved[name]["values"]
        assert [row[column][1] for row in cells] == [f"{value:.6g}" for value in saved[name]["values"]]


def test_themes_follow_the_system_and_the_button(page):
    """Dark where the system is dark; the button turns page and pictures; paper is white."""
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
    page.get_by_role("button", name="Dark colours").click()
    assert page.evaluate(paper) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast(page, scheme):
    """Text has a contrast of 4.5 with what is behind it, and what is drawn one of 3 (WCAG 2.2, AA)."""
    page.emulate_media(color_scheme=scheme)
    names = ["paper", "panel", "ink", "soft", "link", "blue", "red", "green", "purple", "orange", "sky", "grey"]
    told = page.evaluate(
        "names => names.map(name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim())",
        names,
    )

    def light(colour):
        parts = np.asarray([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    level = {name: light(colour) for name, colour in zip(names, told, strict=True)}

    def contrast(one, other):
        high, low = sorted((level[one], level[other]), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert min(contrast(text, back) for text in ("ink", "soft", "link") for back in ("paper", "panel")) >= 4.5
    assert min(contrast(name, "paper") for name in names[5:]) >= 3


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_the_page_never_scrolls_sideways(page, width):
    """On a screen and on a phone; tables scroll in boxes of their own."""
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(300)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...onecycle.figures.values()].every(({div}) => div.clientWidth <= innerWidth)")


def test_it_can_be_used_without_seeing_or_pointing(page):
    """The first stop is the way to the results; every control has a name; headings leave no level out."""
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


def test_it_can_be_printed(page):
    """Buttons are left out, the pictures are not."""
    page.emulate_media(media="print")
    assert not page.locator(f"figure[data-figure={RANGE}] .buttons").is_visible()
    assert page.locator(f"#{RANGE} svg").first.is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_without_javascript_the_tables_are_there(open_page, report, opened):
    """And a sentence that says what is missing."""
    page = open_page(report, java_script_enabled=False).page
    assert page.get_by_text("need JavaScript").is_visible()
    assert page.locator("#result-0 table").first.is_visible()
    assert not page.locator("#theme").is_visible()
    assert "need JavaScript" not in opened.page.locator("main").inner_text()
