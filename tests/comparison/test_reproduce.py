"""`reproduce` with a short protocol on the real Boston Housing data."""

import dataclasses

import pytest

from onecycle.comparison.article import reproduction
from onecycle.comparison.article.protocol import CYCLE, PROTOCOLS

SHORT = {"epochs": 3, "cycles": (2,), "seeds": 1, "side_seeds": 1, "grid_epochs": 3, "grid_seeds": 1}


@pytest.fixture
def short(monkeypatch, data_dir):
    """The experiment with three constant rates, of which the outer ones are far too low and far too high."""
    protocol = dataclasses.replace(PROTOCOLS["boston-housing"], grid=(1e-5, 10**-2.5, 1.0), **SHORT)
    monkeypatch.setenv("ONECYCLE_DATA", str(data_dir))
    monkeypatch.setitem(PROTOCOLS, "boston-housing", protocol)


def test_experiment_is_run_and_then_read(short, tmp_path):
    """Grid, main arms and side arms are trained once. A second call trains nothing and gives the same summary."""
    result = reproduction.reproduce("boston-housing", directory=tmp_path, verbose=0)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    again = reproduction.reproduce("boston-housing", directory=tmp_path, verbose=0)

    assert result.tuned == {0.0: 10**-2.5, 0.9: 10**-2.5}
    assert [run["config"]["batch_size"] for run in result.main.runs] == [32] * 5
    assert len(result.side.arms) == 4
    assert result.side.runs[0]["history"] == result.main.runs[0]["history"]
    assert all(run["finder"]["steps"] > 0 for run in result.main.of(CYCLE))
    assert "1cycle" in result.summary()
    assert [one["reference"] for one in result.facts()["savings"]] == list(result.main.arms[:3])
    assert again.summary() == result.summary()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == written
