"""The grid, the admission and the split of the study `2026-11-28_benchmark`, without a run."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

STUDY = Path(__file__).resolve().parents[2] / "studies" / "2026-11-28_benchmark"
MODULES = ("grids", "split", "admission", "earlier_study", "tables", "other_pickers")
FACTS = {
    "task": "x", "optimizer": "adam", "classes": 2, "epochs": 4, "batch_size": 32, "steps": 100, "weights": 10,
    "data": "d", "start": "", "guessing": {"selection": 1.0, "test": 1.0},
    "rows": {"train": 100, "selection": 2000, "test": 3000},
}  # fmt: skip


@pytest.fixture
def study(monkeypatch):
    """The modules of the study."""
    monkeypatch.syspath_prepend(str(STUDY))
    yield {name: importlib.import_module(name) for name in MODULES[:3]}
    # Their names are common, and other studies have modules of the same name.
    for name in MODULES:
        sys.modules.pop(name, None)


def loss_at(place, seed, best=-8, luck=0.002, bend=0.03):
    """A loss whose logarithm is a parabola of the rate, with a little luck of the seed."""
    return 0.4 * np.exp(bend * (place - best) ** 2) + luck * seed


def completed(study, best):
    """All runs that the grid asks for, one group after another."""
    losses = {}
    while missing := study["grids"].missing_runs(losses, "adam"):
        losses |= {run: loss_at(*run, best=best) for run in missing}
    return losses


def write_records(folder, losses, fall=0.1, **changes):
    """Write a record for each run; the training loss falls with the rate."""
    folder.mkdir()
    for (place, seed), loss in losses.items():
        names = ("selection_loss", "selection_error", "test_loss", "test_error")
        record = (
            FACTS
            | {"rate": 10 ** (place / 4), "seed": seed, "train_loss": np.exp(-fall * place)}
            | dict.fromkeys(names, loss)
        )
        (folder / f"cycle_{place}_{seed}.json").write_text(json.dumps(record | changes))


def test_the_split_is_even_and_names_each_task_once(study):
    """As many tasks tune as judge, more than the 24 that are wanted, none in both."""
    split = study["split"]

    assert len(split.TUNING) == len(split.JUDGING)
    assert len({*split.TUNING, *split.JUDGING}) == len(split.TUNING + split.JUDGING) >= 26


@pytest.mark.parametrize("best", [-10, -8, -14, 0])
def test_the_grid_has_four_half_decades_on_each_side_of_the_best(study, best):
    """Nine half-decades and two quarter-decades with five seeds each, wherever the best rate is."""
    losses = completed(study, best)
    places = range(best - 8, best + 9, 2)

    assert {(place, seed) for place in (*places, best - 1, best + 1) for seed in range(5)} <= set(losses)
    # Only the first seed looks for the best rate.
    assert all(seed == 0 for place, seed in losses if place not in (*places, best - 1, best + 1))


def test_diverged_runs_are_no_best(study):
    """A rate at which a run diverged has an infinite loss; the grid goes down from there."""
    losses = {}
    while missing := study["grids"].missing_runs(losses, "adam"):
        losses |= {run: np.inf if run[0] > -12 else loss_at(*run) for run in missing}

    assert study["grids"].best_half_decade(losses) == -12


def test_the_grid_reaches_a_second_basin(study):
    """An end that is not clearly worse than the best is not the end; here the better basin lies beyond it."""

    def loss(place, seed):
        return min(loss_at(place, seed, best=-10), 0.42 - 0.01 * max(place, -4))

    losses = {}
    while missing := study["grids"].missing_runs(losses, "adam"):
        losses |= {run: loss(*run) for run in missing}

    assert study["grids"].best_half_decade(losses) == study["grids"].ENDS[1]


def test_the_grid_ends_where_all_rates_are_equal(study):
    """It does not go down forever, and the best rate then lies at its end."""
    losses = {}
    while missing := study["grids"].missing_runs(losses, "sgd"):
        losses |= dict.fromkeys(missing, 1.0)

    assert min(losses)[0] >= study["grids"].ENDS[0] - 1


def test_regret_has_a_floor_and_leaves_the_seed_out(study, tmp_path):
    """The reference of a seed is its own loss at the best rate of the others; tiny losses are divided by the floor."""
    write_records(tmp_path / "x", completed(study, -8))
    truth = study["grids"].read_truth(tmp_path / "x")

    assert truth.reference(3) == pytest.approx(0.406)
    assert truth.floored(0.4466, 0.406) == pytest.approx(0.1)
    assert truth.floored(0.02, 0.01) == pytest.approx(0.01 / 0.05)


def test_records_of_other_data_are_refused(study, tmp_path):
    """One record of other data is an error."""
    losses = completed(study, -8)
    write_records(tmp_path / "x", losses)
    path = tmp_path / "x" / "cycle_-8_0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data": "e"}))
    with pytest.raises(ValueError, match="must agree"):
        study["grids"].read_truth(tmp_path / "x")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"guessing": {"selection": 10.0, "test": 10.0}}, "below 10% of guessing"),
        ({"rows": {"train": 1, "selection": 1999, "test": 3000}}, "fewer than 2000 rows"),
        ({"luck": 0.02}, "seeds deviate"),
        ({"bend": 0.003}, "hardly matters"),
    ],
)
def test_admission_follows_the_criteria(study, tmp_path, change, reason):
    """Each criterion refuses a task that fails it, and only that."""
    losses = completed(study, -8)
    shape = {name: change[name] for name in ("luck", "bend") if name in change}
    facts = {name: value for name, value in change.items() if name not in shape}
    write_records(tmp_path / "x", {run: loss_at(*run, **shape) for run in losses}, **facts)
    found = study["admission"].admission_of(study["grids"].read_truth(tmp_path / "x"))

    assert bool(found.reasons) == (reason is not None)
    assert any(reason in text for text in found.reasons) or reason is None


@pytest.mark.parametrize(("fall", "overfitted"), [(0.1, True), (-0.1, False)])
def test_overfitting_limits_the_rate_where_training_still_gains(study, tmp_path, fall, overfitted):
    """Above the best rate the training loss is lower, or it is higher as well."""
    write_records(tmp_path / "x", completed(study, -8), fall)

    assert study["admission"].admission_of(study["grids"].read_truth(tmp_path / "x")).overfitted is overfitted
