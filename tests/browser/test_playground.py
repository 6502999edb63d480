"""The schedule playground: its JavaScript computes the values of `OneCycle`."""

import json

import numpy as np
import pytest
from render.sample_range_tests import RANGE_TESTS

SETTINGS = [
    {},
    {"max_learning_rate": 3.0, "total_steps": 12, "shape": "cosine"},
    {"total_steps": 1},
    {"total_steps": 2},
    {"total_steps": 3},
    {"total_steps": 100, "warmup_fraction": 0.3, "final_fraction": 0.25, "initial_divisor": 25, "final_divisor": 1e4},
    {"total_steps": 100, "final_fraction": 0.0, "shape": "cosine"},
    {"total_steps": 6, "warmup_fraction": 0.5, "final_fraction": 0.0},  # 2.5 rounds to 2, as in Python
    {"total_steps": 8, "warmup_fraction": 0.5, "final_fraction": 0.0},  # 3.5 rounds to 4
    {"total_steps": 50, "warmup_fraction": 0.9, "final_fraction": 0.1},
    {"total_steps": 50, "warmup_fraction": 1.0, "final_fraction": 0.0},
    {"total_steps": 50, "warmup_fraction": 0.0, "initial_divisor": 1, "final_divisor": 1},
    {"total_steps": 10_007, "warmup_fraction": 0.123, "final_fraction": 0.29, "shape": "cosine"},
    {"max_learning_rate": 1e-6, "total_steps": 37, "high": 0.99, "low": 0.5},
]
PROGRAM = """
import json, sys
from onecycle import OneCycle
values = []
for settings in json.loads(sys.argv[1]):
    pair = {name: settings.pop(name) for name in ("high", "low") if name in settings}
    schedule = OneCycle(settings.pop("max_learning_rate", 0.1), settings.pop("total_steps", 1000), **settings)
    values.append([schedule.values().tolist(), schedule.momentum(**pair).values().tolist()])
print(json.dumps(values))
"""
SET = """settings => {
  const all = {max_learning_rate: 0.1, total_steps: 1000, final_fraction: 0.1, initial_divisor: 10, final_divisor: 1000,
               shape: 'linear', high: 0.95, low: 0.85, ...settings};
  const auto = document.getElementById('warmup-auto');
  auto.checked = !('warmup_fraction' in settings);
  for (const [name, value] of Object.entries(all)) document.getElementById('set-' + name).value = value;
  for (const el of [auto, document.getElementById('set-shape')]) el.dispatchEvent(new Event('change'));
}"""
SUGGESTED = float(f"{RANGE_TESTS['pretty'].learning_rate:.3g}")
DRAWN = "document.getElementById('playground').data.map(({x, y}) => [x, y])"


@pytest.fixture(scope="module")
def opened(open_page, tmp_path_factory):
    """A report on a range test, whose suggestion is the playground's initial peak."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    RANGE_TESTS["pretty"].to_html(path)
    return open_page(path)


@pytest.fixture
def page(opened):
    """The report with the playground in its initial state."""
    page = opened.page
    page.evaluate(SET, {"max_learning_rate": SUGGESTED})
    return page


def test_initial_peak_is_the_suggestion(opened):
    """The playground starts with the suggested rate and the defaults of `OneCycle`."""
    assert opened.messages == []
    assert opened.page.locator("#playground-code").text_content() == f"onecycle.OneCycle({SUGGESTED}, 1000)"


def test_values_are_those_of_one_cycle(page, python):
    """Rate and momentum at every step agree to 1e-12, for short and long cycles, all shapes and extreme settings."""
    expected = json.loads(python(PROGRAM, json.dumps(SETTINGS), KERAS_BACKEND="jax").stdout)
    for settings, (rates, momentum) in zip(SETTINGS, expected, strict=True):
        page.evaluate(SET, settings)
        assert page.locator("#playground-error").text_content() == ""
        for (x, y), numbers in zip(page.evaluate(DRAWN), (rates, momentum), strict=True):
            assert x == list(range(len(numbers)))
            np.testing.assert_allclose(y, numbers, rtol=1e-12, atol=0, err_msg=str(settings))


def test_sliders_work_with_the_keyboard(page):
    """The arrow keys change the slider, the number, the figure and the call."""
    page.get_by_label("Peak (max_learning_rate), slider").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    peak = float(page.get_by_label("Peak (max_learning_rate)", exact=True).input_value())
    assert peak > SUGGESTED
    assert max(page.evaluate(DRAWN)[0][1]) == peak
    assert page.locator("#playground-code").text_content() == f"onecycle.OneCycle({peak}, 1000)"


def test_call_and_phases_are_updated(page):
    """The call has the arguments that differ from the defaults, and the table has the phases."""
    page.evaluate(SET, {"total_steps": 100, "warmup_fraction": 0.3, "shape": "cosine"})
    assert page.locator("#playground-code").text_content() == (
        'onecycle.OneCycle(0.1, 100, warmup_fraction=0.3, shape="cosine")'
    )
    rows = page.locator("#playground-phases tbody tr").all_text_contents()
    assert rows == ["warm-up0300.010.10.950.85", "decay30890.10.010.850.95", "final drop89990.010.000010.950.95"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup_fraction": 0.8, "final_fraction": 0.3}, "sum to at most 1"),
        ({"total_steps": 2.5}, "whole number"),
        ({"initial_divisor": 0.5}, "Divisors"),
        ({"max_learning_rate": 0}, "above 0"),
        ({"low": 0.97}, "low ≤ high"),
    ],
)
def test_invalid_settings_show_a_message(page, settings, message):
    """A sentence says why the settings are invalid, and the figure does not change."""
    before = page.evaluate(DRAWN)
    page.evaluate(SET, settings)
    assert message in page.locator("#playground-error").text_content()
    assert page.evaluate(DRAWN) == before


def test_long_cycle_is_drawn_with_fewer_points(page):
    """Of a million steps, 20000 and the ends of the phases are drawn."""
    page.evaluate(SET, {"total_steps": 1_000_000})
    x, y = page.evaluate(DRAWN)[0]
    assert len(x) < 21_000
    assert x[-1] == 999_999
    assert max(y) == 0.1
