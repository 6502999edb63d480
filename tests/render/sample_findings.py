"""Findings for plots and reports: many, one, none, and checks that were not made."""

from onecycle.results import Finding, Findings

LABELS = Finding(
    "labels out of range",
    "The targets range from 1 to 10, and the loss 'sparse_categorical_crossentropy' takes whole numbers from 0 to 9.",
    "Number the classes from 0: pass `y - 1`.",
)
CONSTANT = Finding(
    "constant features", "The same value is in all rows of 1 of the 13 features of `x` (3).", "Leave it out."
)
FINDINGS = {
    "pretty": Findings(
        (LABELS, CONSTANT),
        {
            "values": "nothing found",
            "labels": "found",
            "gradients": "the data or the model has a fault that comes first (labels out of range)",
            "constant features": "found",
            "learning rate": "the data or the model has a fault that comes first (labels out of range)",
        },
        versions={"keras": "3.15.1"},
        origin={"model": "Sequential, 100 parameters"},
    ),
    "one": Findings((CONSTANT,), {"values": "nothing found", "constant features": "found"}),
    "none": Findings((), {"values": "nothing found", "labels": "nothing found"}),
    "nothing checked": Findings((), {"labels": "the model has its own `train_step`"}),
    "empty": Findings(()),
}
