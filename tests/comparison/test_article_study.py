"""What the article's study runs once more: only the last arm is new, the others are lent."""

import pytest

from onecycle.comparison.article import further
from onecycle.comparison.article.protocol import BASELINE, CYCLE, LONGER_TASK, PROTOCOLS
from onecycle.comparison.store import slug


@pytest.fixture
def main_records(tmp_path):
    """A folder in which every main run of the task has been made."""
    folder = tmp_path / LONGER_TASK / "main"
    folder.mkdir(parents=True)
    for arm in (BASELINE, CYCLE):
        for seed in range(PROTOCOLS[LONGER_TASK].seeds):
            (folder / f"{slug(arm)}_{seed}.json").write_text(f"{arm} {seed}")
    return folder


def test_a_longer_cycle_is_the_only_new_arm(main_records, tmp_path, monkeypatch):
    """It differs from the cycle in its epochs alone; the runs that are there are not made again."""
    asked = {}
    monkeypatch.setattr(further, "compare", lambda build, data, arms, **options: asked.update(options, arms=arms))
    further.longer(tmp_path)
    *lent, new = asked["arms"]
    there = {path.name: path.read_text() for path in asked["directory"].glob("*.json")}

    assert there == {path.name: path.read_text() for path in main_records.glob("*.json")}
    assert lent == [BASELINE, CYCLE]
    assert asked["arms"][new] == asked["arms"][CYCLE] | {"epochs": 25}
    assert asked["epochs"] < 25


def test_a_record_that_was_lent_before_is_kept(main_records, tmp_path, monkeypatch):
    """It may be one that the comparison itself has made."""
    monkeypatch.setattr(further, "compare", lambda *args, **options: None)
    further.longer(tmp_path)
    own = tmp_path / LONGER_TASK / "longer" / "1cycle_0.json"
    own.write_text("its own")
    further.longer(tmp_path)

    assert own.read_text() == "its own"
