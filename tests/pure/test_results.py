"""The range test's record: what it says, and that it comes back whole from disk."""

import dataclasses
import json
import pickle
import sys

import numpy as np
import pytest

from onecycle.results import RangeTest, StopReason, Suggestion, codec, load
from onecycle.suggestions import RULES

HEAD = {"format": "onecycle-result", "version": 1}


def measured(n=200, seed=0):
    """Rates and losses that fall around 0.01 and explode from 1 on."""
    rates = np.geomspace(1e-6, 10, n)
    place = np.log10(rates)
    losses = 0.8 + 1.5 / (1 + np.exp(4 * (place + 2))) + np.expm1(np.maximum(0, place) * 5)
    return rates, losses + 0.05 * np.random.default_rng(seed).standard_normal(n)


@pytest.fixture
def result():
    """A range test with a suggestion and every field set."""
    return RangeTest.from_losses(
        *measured(),
        StopReason.DIVERGED,
        num_steps=300,
        batch_size=32,
        optimizer="SGD",
        backend="jax",
        seed=7,
        versions={"keras": "3.15.1"},
    )


@pytest.fixture
def silent():
    """A range test that suggests nothing."""
    return RangeTest.from_losses(np.geomspace(1e-6, 1, 50), np.ones(50), StopReason.COMPLETED)


def test_from_losses_asks_every_rule(result):
    """The suggestions are those of all rules, in their order, and the default rule's is the result's."""
    assert list(RULES) == list(result.suggestions)
    assert result.suggestion is result.suggestions["one_cycle"]
    assert result.suggestion.learning_rate == result.learning_rate
    assert 0.14 < result.learning_rate < 0.4
    assert result.smoothed.shape == (200,)


def test_another_rule_may_decide():
    """The rule named decides."""
    result = RangeTest.from_losses(*measured(), StopReason.DIVERGED, rule="minimum")
    assert result.learning_rate == result.suggestions["minimum"].learning_rate


def test_a_rule_of_ones_own_may_decide():
    """A function decides, and stands beside the others under its name."""

    def careful(learning_rates, losses):
        return Suggestion(float(learning_rates[0]), "The lowest.")

    result = RangeTest.from_losses(*measured(), StopReason.DIVERGED, rule=careful)
    assert result.rule == "careful"
    assert result.learning_rate == pytest.approx(1e-6)


def test_an_unknown_rule_is_refused():
    """The error lists the rules."""
    with pytest.raises(ValueError, match=r"one_cycle, blow_up, minimum.*'best'"):
        RangeTest.from_losses(*measured(), StopReason.DIVERGED, rule="best")


def test_without_a_suggestion_the_learning_rate_is_an_error_that_says_why(silent):
    """The error carries the rule's reason and how the test ended, and never a number."""
    with pytest.raises(ValueError, match=r"loss is constant.*raise `max_learning_rate`"):
        _ = silent.learning_rate


def test_the_record_cannot_be_changed(result):
    """Neither fields nor arrays can be written, and the arrays given stay the caller's own."""
    rates, losses = measured()
    record = RangeTest.from_losses(rates, losses, StopReason.DIVERGED)
    losses[0] = 99
    assert record.losses[0] != 99
    with pytest.raises(ValueError, match="read-only"):
        record.losses[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.rule = "minimum"


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 200)])
def test_shapes_that_do_not_fit_are_refused(result, shape):
    """Losses must have one column a rate."""
    with pytest.raises(ValueError, match="A range test needs"):
        dataclasses.replace(result, losses=np.ones(shape))


def test_a_stop_reason_must_be_one(result):
    """A plain text as stop reason is refused at once, not when it is saved."""
    with pytest.raises(TypeError, match="StopReason"):
        dataclasses.replace(result, stop_reason="diverged")


def test_the_summary_tells_the_rate_the_test_and_each_rule(result):
    """The text holds the number, the facts, the stop reason and every rule's line."""
    text = result.summary()
    assert f"suggests {result.learning_rate:.3g} (one_cycle)" in text
    assert "200 of 300 steps" in text
    assert "optimizer SGD; batch size 32; backend jax; seed 7" in text
    assert StopReason.DIVERGED.value in text
    assert all(name in text and suggestion.reason in text for name, suggestion in result.suggestions.items())


def test_the_summary_says_when_there_is_no_suggestion(silent):
    """No number is made up where there is none."""
    assert "suggests no learning rate" in silent.summary()


def test_the_summary_takes_an_empty_test():
    """A test that ended before its first step still has a summary."""
    empty = RangeTest.from_losses([], [], StopReason.DATA_ENDED)
    assert "0 steps" in empty.summary()


def strange():
    """A range test with all that JSON has no word for."""
    losses = np.stack([measured(seed=seed)[1] for seed in range(2)])
    losses[0, 190:] = np.nan
    losses[1, [3, 199]] = np.inf, -np.inf
    return RangeTest.from_losses(measured()[0], losses, StopReason.NON_FINITE, spacing="linear")


@pytest.mark.parametrize("make", [strange, lambda: RangeTest.from_losses([], [], StopReason.DATA_ENDED)])
def test_a_saved_result_comes_back_whole(make, tmp_path):
    """NaN, both infinities, repeats, empty arrays: what is loaded equals what was saved, bit for bit."""
    result = make()
    result.save(tmp_path / "test.json")
    loaded = load(tmp_path / "test.json")
    assert type(loaded) is RangeTest
    assert result == loaded
    for name in ("learning_rates", "losses", "smoothed"):
        np.testing.assert_array_equal(getattr(result, name), getattr(loaded, name), strict=True)


def test_a_full_record_comes_back_equal(result, tmp_path):
    """Every field comes back, and a result that differs in one of them is not equal."""
    result.save(tmp_path / "test.json")
    assert result == load(tmp_path / "test.json")
    for change in ({"seed": 8}, {"rule": "minimum"}, {"losses": result.losses + 1e-9}, {"versions": {}}):
        assert result != dataclasses.replace(result, **change)


def test_the_file_is_json_for_any_parser(tmp_path):
    """No NaN or Infinity token: a strict parser reads it, and finds null where the mask says what it was."""
    strange().save(tmp_path / "test.json")
    document = json.loads((tmp_path / "test.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert [document[key] for key in ("format", "version", "type")] == ["onecycle-result", 1, "RangeTest"]
    losses = document["fields"]["losses"]
    assert losses["shape"] == [2, 200]
    assert losses["mask"] == {"nan": list(range(190, 200)), "inf": [203], "-inf": [399]}
    assert losses["values"][203] is None
    assert document["fields"]["stop_reason"] == {"kind": "StopReason", "member": "NON_FINITE"}


def test_a_failed_save_leaves_the_old_file_and_no_other(result, tmp_path, monkeypatch):
    """A save that fails on its way neither tears the old file nor leaves a draft."""
    path = tmp_path / "test.json"
    result.save(path)
    before = path.read_bytes()

    def full(*args):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        dataclasses.replace(result, seed=8).save(path)
    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_what_could_not_be_read_back_is_not_saved(result, tmp_path):
    """An object without a JSON form is refused when saved, and no file is left."""
    with pytest.raises(TypeError, match="cannot be saved"):
        dataclasses.replace(result, versions={"keras": object()}).save(tmp_path / "test.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "torn"),
        ('{"format": "onecycle-result", "version": 1, "ty', "torn"),
        ("[1, 2]", "not a onecycle result"),
        ('{"format": "other"}', "not a onecycle result"),
        ('{"format": "onecycle-result", "version": 99, "type": "RangeTest"}', "newer onecycle.*upgrade"),
        ('{"format": "onecycle-result", "version": "1"}', "damaged"),
        ('{"format": "onecycle-result", "version": 1}', "damaged"),
        ('{"format": "onecycle-result", "version": 1, "type": "Unheard", "fields": {}}', "'Unheard'.*RangeTest"),
        ('{"format": "onecycle-result", "version": 1, "type": "RangeTest", "fields": {"x": 1}}', "damaged"),
        (
            json.dumps(HEAD | {"type": "Suggestion", "fields": {"learning_rate": 1, "reason": "."}}),
            "not a result by itself",
        ),
    ],
)
def test_a_torn_foreign_or_newer_file_is_refused_by_name(text, message, tmp_path):
    """The error names the file and says what is wrong with it."""
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"(?s)broken.json.*{message}"):
        load(path)


def test_binary_rubbish_is_refused(tmp_path):
    """A file that is not even text gives the same kind of error."""
    (tmp_path / "rubbish.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match=r"rubbish\.json"):
        load(tmp_path / "rubbish.json")


def test_every_cut_of_a_file_is_refused(result, tmp_path):
    """However short the file was cut, there is a ValueError and never half a result."""
    path = tmp_path / "test.json"
    result.save(path)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 2, len(whole) // 40):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="torn"):
            load(path)


def test_a_null_without_a_mask_is_damage(result, tmp_path):
    """A number that was lost is not read as NaN."""
    path = tmp_path / "test.json"
    result.save(path)
    document = json.loads(path.read_text())
    document["fields"]["losses"]["values"][3] = None
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="mask does not explain"):
        load(path)


def test_the_codec_takes_a_further_class_by_registering_it(tmp_path, monkeypatch):
    """A new record needs one decorator; tuples, nested records, odd keys and lone infinities come back as they were."""
    monkeypatch.setattr(codec, "_classes", dict(codec._classes))

    @codec.storable
    @dataclasses.dataclass(frozen=True)
    class Other:
        things: tuple
        table: dict

    one = Other((1, (2.5, None)), {"kind": [float("-inf"), True], "inner": Suggestion(None, "«why»", np.inf)})
    codec.save(one, tmp_path / "other.json")
    assert one == codec.load(tmp_path / "other.json")


def test_an_unregistered_class_is_refused(tmp_path):
    """A record that nobody registered could not be read back."""

    @dataclasses.dataclass
    class Stranger:
        x: int = 1

    with pytest.raises(TypeError, match="not registered"):
        codec.save(Stranger(), tmp_path / "stranger.json")


def test_a_result_pickles(result):
    """Results may travel between processes."""
    assert result == pickle.loads(pickle.dumps(result))


def test_without_matplotlib_plot_says_what_to_install(result, monkeypatch):
    """The one error names the extra."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install onecycle\[plot\]"):
        result.plot()
