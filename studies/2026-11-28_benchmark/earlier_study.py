"""The modules that are shared with the study of 2026-11-23: the pickers of other projects, and tables in pages."""

import sys
from pathlib import Path

# At the end, so that this study's own modules come first.
sys.path.append(str(Path(__file__).parents[1] / "2026-11-23_picking_the_rate"))

import other_pickers as other_pickers
import tables as tables
