"""The modules that are shared with the benchmark of 2026-11-28: tasks, data, models, the runner and tables."""

import sys
from pathlib import Path

# At the end, so that this study's own modules come first.
sys.path.append(str(Path(__file__).parents[1] / "2026-11-28_benchmark"))

import split as split
import truth as truth
from earlier_study import tables as tables
