"""The direction of a metric by its name."""

import pytest

from onecycle.plot.training_info import training_picture
from onecycle.results.metrics import metric_direction

LOWER = ["loss", "val_loss", "mae", "val_mape", "msle", "rmse", "mean_squared_error", "categorical_hinge", "perplexity"]
HIGHER = ["accuracy", "val_ACC", "auc", "precision", "recall", "f1_score", "r2_score", "iou", "dice", "bleu"]


@pytest.mark.parametrize(
    ("name", "direction"),
    [*((name, "min") for name in LOWER), *((name, "max") for name in HIGHER), ("score", None), ("val_distance", None)],
)
def test_direction_follows_the_words_in_the_name(name, direction):
    """Losses and errors are better when lower, accuracies and scores when higher, and other names are unknown."""
    assert metric_direction(name) == direction


def test_lower_is_better_where_a_name_has_words_of_both_kinds():
    """An accuracy loss is a loss."""
    assert metric_direction("accuracy_loss") == "min"


@pytest.mark.parametrize("metric", ["val_mae", "val_mape"])
def test_plots_limit_the_axis_of_every_error(metric):
    """Without a target, a diverged run sets no limits for any error. Before, there were none for val_mape."""
    picture = training_picture({"diverged": [3, 1e9], "calm": [3, 2]}, metric)
    assert picture.limits is not None
    assert picture.limits[1] < 4
