"""Tests that the example notebook runs and displays its results."""

import nbformat
import pytest
from docs.pages import ROOT
from nbclient import NotebookClient

PATH = ROOT / "examples" / "first_steps.ipynb"


@pytest.fixture(scope="module")
def notebook():
    """Return the committed notebook."""
    return nbformat.read(PATH, as_version=4)


def test_notebook_is_committed_without_outputs(notebook):
    """No code cell of the committed notebook has outputs or an execution count."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_notebook_runs(notebook):
    """Every cell runs, and the range test and the comparison display their plots."""
    done = NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = [out.data for cell in done.cells for out in cell.get("outputs", []) if "data" in out]

    assert sum("image/png" in data for data in shown) == 1  # shown by `find_learning_rate`
    assert sum("<img" in data.get("text/html", "") for data in shown) == 1
