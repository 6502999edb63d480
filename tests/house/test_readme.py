"""What README.md quotes is what was measured."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_costs_are_those_of_the_results():
    """The table of README.md is what `python -m benchmarks.table` makes of the newest results."""
    spec = importlib.util.spec_from_file_location("table", ROOT / "benchmarks" / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    table = module.table()

    assert table in (ROOT / "README.md").read_text(encoding="utf-8")
    assert table.count("\n") > 20
