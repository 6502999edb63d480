"""The article study's experiments beyond the protocol: only the last arm is new, the records of others are copied."""

import importlib.util
import sys
from pathlib import Path

import pytest

from onecycle.comparison.article.protocol import BASELINE, CYCLE, PROTOCOLS
from onecycle.comparison.store import slug

FURTHER = Path(__file__).resolve().parents[2] / "studies" / "2026-11-23_the_article" / "follow_ups.py"


@pytest.fixture(scope="module")
def further():
    """The study's module, which is not part of the package."""
    spec = importlib.util.spec_from_file_location("article_study_further", FURTHER)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def main_records(further, tmp_path):
    """A folder with a record of every main run of the task."""
    folder = tmp_path / further.LONGER_TASK / "main"
    folder.mkdir(parents=True)
    for arm in (BASELINE, CYCLE):
        for seed in range(PROTOCOLS[further.LONGER_TASK].seeds):
            (folder / f"{slug(arm)}_{seed}.json").write_text(f"{arm} {seed}")
    return folder


def test_longer_cycle_is_only_new_arm(further, main_records, tmp_path, monkeypatch):
    """The longer cycle differs from the cycle in its epochs alone, and existing runs are not made again."""
    passed = {}
    monkeypatch.setattr(further, "compare", lambda build, data, arms, **options: passed.update(options, arms=arms))
    further.longer(tmp_path)
    *copied, new = passed["arms"]
    records = {path.name: path.read_text() for path in passed["directory"].glob("*.json")}

    assert records == {path.name: path.read_text() for path in main_records.glob("*.json")}
    assert copied == [BASELINE, CYCLE]
    assert passed["arms"][new] == passed["arms"][CYCLE] | {"epochs": 25}
    assert passed["epochs"] < 25


def test_existing_record_is_kept(further, main_records, tmp_path, monkeypatch):
    """A record that the comparison made itself is not replaced by a copy."""
    monkeypatch.setattr(further, "compare", lambda *args, **options: None)
    further.longer(tmp_path)
    record = tmp_path / further.LONGER_TASK / "longer" / "1cycle_0.json"
    record.write_text("made here")
    further.longer(tmp_path)

    assert record.read_text() == "made here"


def test_picture_and_batch_arms_cover_their_grids(further):
    """The picture has an arm for each of eight rates, the warning one for each peak and batch size."""
    rates = [arm["optimizer"]["config"]["learning_rate"] for arm in further.picture_arms().values()]
    pairs = [(arm["max_learning_rate"], arm["batch_size"]) for arm in further.batch_arms().values()]

    assert rates == [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0]
    assert pairs == [(0.03, 32), (0.03, 2048), (0.3, 32), (0.3, 2048), (3.0, 32), (3.0, 2048)]
