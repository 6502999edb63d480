"""Reports of fine-tunings for plots and reports: both phases, one of them, and one with a rescue."""

from render.sample_cycles import CYCLES

from onecycle.results import FineTuneReport

FINE_TUNINGS = {
    "pretty": FineTuneReport(
        CYCLES["short"], CYCLES["layer rates"], ("pooler", "classifier"), (1, 5), ("backbone/batch_normalization",)
    ),
    "head alone": FineTuneReport(CYCLES["range test"], None, ("classifier",), (2, 3)),
    "all layers": FineTuneReport(None, CYCLES["with history"], ("classifier",), (0, 3)),
    "rescued": FineTuneReport(CYCLES["race"], CYCLES["rescued"], ("classifier",), (1, 3)),
}
