"""A table of Hugging Face's `datasets`, as arrays, as a PyTorch-like data set and as a `tf.data.Dataset`."""

import keras
import numpy as np
import pytest
from oracles.clients import LABELS, ROWS, STEPS, Recorder, X, build

import onecycle

datasets = pytest.importorskip("datasets")


class Rows(keras.utils.PyDataset):
    """Batches of a table, read when they are needed."""

    def __init__(self, table, batch_size=32):
        super().__init__()
        self.table, self.batch_size = table, batch_size

    def __len__(self):
        return -(-len(self.table) // self.batch_size)

    def __getitem__(self, index):
        batch = self.table[index * self.batch_size : (index + 1) * self.batch_size]
        return batch["features"], batch["label"]


@pytest.fixture
def table():
    """Return the task as a table, which gives NumPy arrays."""
    return datasets.Dataset.from_dict({"features": X, "label": LABELS}).with_format("numpy")


@pytest.mark.parametrize("kind", ["arrays", "rows"])
def test_table_is_searched_and_trained_on(table, kind):
    """Columns as arrays and batches read on demand are data like any other."""
    columns = table[:]
    data = (columns["features"], columns["label"]) if kind == "arrays" else (Rows(table),)
    model = build()
    result = onecycle.find_learning_rate(model, *data, num_steps=60, verbose=0)
    fits = []
    onecycle.fit_one_cycle(model, *data, epochs=2, max_learning_rate=0.1, callbacks=[Recorder(fits)], verbose=0)

    assert len(result.learning_rates) > 20
    assert fits == [pytest.approx(onecycle.OneCycle(0.1, 2 * STEPS).values())]
    assert (len(columns["label"]), columns["features"].dtype) == (ROWS, np.float32)


def test_table_itself_is_refused_with_the_remedy(table):
    """A table that is passed as it is, is an error before training."""
    with pytest.raises(ValueError, match=r"(?i)data"):
        onecycle.find_learning_rate(build(), table, num_steps=60, verbose=0)
