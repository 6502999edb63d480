"""Tests with data sets of Grain, which the development environment does not install."""

import numpy as np
import pytest
from oracles.linear_models import dense

import onecycle

grain = pytest.importorskip("grain")

pytestmark = [
    pytest.mark.one_backend,
    pytest.mark.filterwarnings(  # by Keras and Grain
        "ignore::DeprecationWarning", "ignore:Your input ran out of data", "ignore:.shuffle=True. was passed"
    ),
]

ROWS, BATCH, EPOCHS = 64, 16, 2
T = EPOCHS * ROWS // BATCH
X = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
IN_ORDER = X[np.argsort(X[:, 0])]


def batches(x=X):
    """Return a `MapDataset` of batches."""
    return grain.MapDataset.source(list(zip(x, x[:, :1], strict=True))).batch(BATCH)


def loader():
    """Return a `DataLoader`, which has no length."""
    return grain.DataLoader(
        data_source=list(zip(X, X[:, :1], strict=True)),
        sampler=grain.samplers.SequentialSampler(ROWS, grain.sharding.NoSharding()),
        operations=[grain.transforms.Batch(BATCH)],
    )


KINDS = {
    "MapDataset": (batches, {}),
    "shuffled": (lambda: batches().shuffle(seed=0), {}),
    "endless": (lambda: batches().repeat(), {"steps_per_epoch": ROWS // BATCH}),
    "IterDataset": (lambda: batches().to_iter_dataset(), {"total_steps": T}),
    "DataLoader": (loader, {"total_steps": T}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_grain_is_taken(kind):
    """A range test and a cycle take what `fit` takes of Grain, and know the length where it has one."""
    make, length = KINDS[kind]
    assert len(onecycle.find_learning_rate(dense(), make(), num_steps=12, verbose=0).losses) == 12
    report = onecycle.fit_one_cycle(
        dense(), make(), epochs=EPOCHS, **length, max_learning_rate=0.01, verbose=0
    ).onecycle
    assert (report.steps, report.total_steps) == (T, T)
    if length:
        with pytest.raises(ValueError, match="The length of this data is unknown"):
            onecycle.fit_one_cycle(dense(), make(), epochs=EPOCHS, max_learning_rate=0.01, verbose=0)


def test_endless_data_in_order_is_read_once():
    """Rows in order that repeat without end are noticed, and not read to their end."""
    data = batches(IN_ORDER).map(lambda batch: batch).repeat()
    result = onecycle.find_learning_rate(dense(), data, num_steps=12, verbose=0)
    assert len(result.losses) == 12
