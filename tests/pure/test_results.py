"""The result of a range test: its fields, its texts, and how it is saved and loaded."""

import dataclasses
import json
import pickle
import sys

import numpy as np
import pytest

from onecycle.results import RangeTest, StopReason, Suggestion, load
from onecycle.suggestions import RULES


def fall_and_explosion(n=200, seed=0):
    """Return rates, and losses that fall around 0.01 and explode from 1 on."""
    rates = np.geomspace(1e-6, 10, n)
    log_rates = np.log10(rates)
    losses = 0.8 + 1.5 / (1 + np.exp(4 * (log_rates + 2))) + np.expm1(np.maximum(0, log_rates) * 5)
    return rates, losses + 0.05 * np.random.default_rng(seed).standard_normal(n)


@pytest.fixture
def result():
    """A range test with a suggestion and every field set."""
    return RangeTest.from_losses(
        *fall_and_explosion(),
        StopReason.DIVERGED,
        num_steps=300,
        batch_size=32,
        optimizer="SGD",
        backend="jax",
        seed=7,
        versions={"keras": "3.15.1"},
    )


@pytest.fixture
def without_suggestion():
    """A range test that suggests no rate."""
    return RangeTest.from_losses(np.geomspace(1e-6, 1, 50), np.ones(50), StopReason.COMPLETED)


def non_finite_range_test():
    """Return a range test with NaN and infinities, for which JSON has no tokens."""
    losses = np.stack([fall_and_explosion(seed=seed)[1] for seed in range(2)])
    losses[0, 190:] = np.nan
    losses[1, [3, 199]] = np.inf, -np.inf
    return RangeTest.from_losses(fall_and_explosion()[0], losses, StopReason.NON_FINITE, spacing="linear")


def empty_range_test():
    """Return a range test that ended before its first step."""
    return RangeTest.from_losses([], [], StopReason.DATA_ENDED)


def test_from_losses_applies_every_rule(result):
    """The suggestions are those of all rules in their order, and the default rule decides."""
    assert list(RULES) == list(result.suggestions)
    assert result.suggestion is result.suggestions["one_cycle"]
    assert result.suggestion.learning_rate == result.learning_rate
    assert 0.14 < result.learning_rate < 0.4
    assert result.smoothed.shape == (200,)


def test_named_rule_decides():
    """The suggested rate is that of the rule."""
    result = RangeTest.from_losses(*fall_and_explosion(), StopReason.DIVERGED, rule="minimum")
    assert result.learning_rate == result.suggestions["minimum"].learning_rate


def test_custom_rule_decides():
    """A function as rule decides, and its suggestion is listed under its name."""

    def careful(learning_rates, losses):
        return Suggestion(float(learning_rates[0]), "The lowest.")

    result = RangeTest.from_losses(*fall_and_explosion(), StopReason.DIVERGED, rule=careful)
    assert result.rule == "careful"
    assert result.learning_rate == pytest.approx(1e-6)


def test_unknown_rule_is_an_error():
    """The error lists the rules."""
    with pytest.raises(ValueError, match=r"one_cycle, blow_up, minimum.*'best'"):
        RangeTest.from_losses(*fall_and_explosion(), StopReason.DIVERGED, rule="best")


def test_learning_rate_without_a_suggestion_is_an_error(without_suggestion):
    """The error holds the reason of the rule and how the test ended."""
    with pytest.raises(ValueError, match=r"loss is constant.*raise `max_learning_rate`"):
        _ = without_suggestion.learning_rate


def test_result_is_immutable():
    """Neither fields nor arrays can be changed, and the result holds copies of the arrays given."""
    rates, losses = fall_and_explosion()
    result = RangeTest.from_losses(rates, losses, StopReason.DIVERGED)
    losses[0] = 99
    assert result.losses[0] != 99
    with pytest.raises(ValueError, match="read-only"):
        result.losses[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.rule = "minimum"


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 200)])
def test_shapes_that_do_not_match_are_an_error(result, shape):
    """Losses must have one column for each rate."""
    with pytest.raises(ValueError, match="A range test needs"):
        dataclasses.replace(result, losses=np.ones(shape))


def test_stop_reason_must_be_a_stop_reason(result):
    """A string as stop reason is an error when the result is made."""
    with pytest.raises(TypeError, match="StopReason"):
        dataclasses.replace(result, stop_reason="diverged")


def test_summary_has_rate_settings_and_rules(result):
    """The text holds the suggested rate, the settings, the stop reason and a line for every rule."""
    text = result.summary()
    assert f"suggests {result.learning_rate:.3g} (one_cycle)" in text
    assert "200 of 300 steps" in text
    assert "optimizer SGD; batch size 32; backend jax; seed 7" in text
    assert StopReason.DIVERGED.value in text
    assert all(name in text and suggestion.reason in text for name, suggestion in result.suggestions.items())


def test_summary_without_a_suggestion_says_so(without_suggestion):
    """The text has no rate where there is no suggestion."""
    assert "suggests no learning rate" in without_suggestion.summary()


def test_summary_of_an_empty_test():
    """A test that ended before its first step has a summary."""
    assert "0 steps" in empty_range_test().summary()


@pytest.mark.parametrize("make", [non_finite_range_test, empty_range_test])
def test_loaded_result_equals_the_saved_one(make, tmp_path):
    """NaN, both infinities, repeats and empty arrays are restored bit for bit."""
    result = make()
    result.save(tmp_path / "test.json")
    loaded = load(tmp_path / "test.json")
    assert type(loaded) is RangeTest
    assert result == loaded
    for name in ("learning_rates", "losses", "smoothed"):
        np.testing.assert_array_equal(getattr(result, name), getattr(loaded, name), strict=True)


def test_results_that_differ_in_one_field_are_not_equal(result, tmp_path):
    """Every field is restored, and equality depends on every field."""
    result.save(tmp_path / "test.json")
    assert result == load(tmp_path / "test.json")
    for change in ({"seed": 8}, {"rule": "minimum"}, {"losses": result.losses + 1e-9}, {"versions": {}}):
        assert result != dataclasses.replace(result, **change)


def test_file_is_strict_json(tmp_path):
    """The file has no NaN or Infinity token: it has null, and a mask that says which value it was."""
    non_finite_range_test().save(tmp_path / "test.json")
    document = json.loads((tmp_path / "test.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert [document[key] for key in ("format", "version", "type")] == ["onecycle-result", 1, "RangeTest"]
    losses = document["fields"]["losses"]
    assert losses["shape"] == [2, 200]
    assert losses["mask"] == {"nan": list(range(190, 200)), "inf": [203], "-inf": [399]}
    assert losses["values"][203] is None
    assert document["fields"]["stop_reason"] == {"kind": "StopReason", "member": "NON_FINITE"}


def test_result_can_be_pickled(result):
    """Results can be sent between processes."""
    assert result == pickle.loads(pickle.dumps(result))


def test_plot_without_matplotlib_says_what_to_install(result, monkeypatch):
    """The error names the package."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install matplotlib"):
        result.plot()


def test_hints_are_saved_shown_and_loaded(result, tmp_path):
    """The hints of a range test are in its summary and its file, and a file of one without hints has none."""
    hinted = dataclasses.replace(result, hints=("Shuffle the data set.",))
    for saved in (result, hinted):
        saved.save(tmp_path / "result.json")
        assert load(tmp_path / "result.json") == saved
        document = json.loads((tmp_path / "result.json").read_text())
        assert ("hints" in document["fields"]) == bool(saved.hints)
    assert "Note: Shuffle the data set." in hinted.summary().splitlines()


@pytest.mark.parametrize("reason", [StopReason.DIVERGED, StopReason.NON_FINITE])
def test_last_step_of_a_ramp_is_its_end(reason):
    """A test that ended in the last step was not stopped before its end, and every text says so."""
    rates, losses = fall_and_explosion()
    early, late = (RangeTest.from_losses(rates, losses, reason, num_steps=steps) for steps in (300, 200))
    assert early.ending == reason.value
    assert "before its end" in early.summary()
    assert "in the last step" in late.ending
    assert "200 of 200 steps" in late.summary()
    assert "before its end" not in late.summary()
    unknown = RangeTest.from_losses(rates, np.ones(200), reason, num_steps=200)
    with pytest.raises(ValueError, match="in the last step"):
        unknown.learning_rate  # noqa: B018 - raises


def test_accumulated_batches_are_part_of_the_settings():
    """The summary says how many batches make up a step, and a file keeps it."""
    plain, accumulated = (
        RangeTest.from_losses(
            *fall_and_explosion(), StopReason.DIVERGED, gradient_accumulation_steps=batches, training_steps=900
        )
        for batches in (None, 4)
    )
    assert "each step an update of 4 accumulated batches" in accumulated.summary()
    assert "accumulated" not in plain.summary()
