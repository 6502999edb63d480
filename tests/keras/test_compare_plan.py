"""What `compare` prints before its first run."""

import keras
import pytest
from oracles.comparisons import compared

from onecycle.comparison.verdict_sentences import plan_sentence

pytestmark = pytest.mark.one_backend


@pytest.mark.parametrize("verbose", [2, 1, "auto"])
def test_plan_is_printed_before_the_first_run(verbose, capsys):
    """The first line says what the seeds can show, and it is there when the first run starts."""
    printed = []

    def listening():
        return [keras.callbacks.LambdaCallback(on_train_begin=lambda logs: printed.append(capsys.readouterr().out))]

    compared({"plain": {"callbacks": listening}, "other": {}}, seeds=1, epochs=1, verbose=verbose)
    assert printed[0].splitlines()[0] == plan_sentence(1, 1)
    assert ("run" in capsys.readouterr().out) == (verbose != 2)  # the progress bar


def test_nothing_is_printed_without_runs(tmp_path, capsys):
    """With `verbose=0`, and where all runs have records, there is no plan."""
    arms = {"plain": {}, "other": {}}
    compared(arms, seeds=1, epochs=1, directory=tmp_path)
    assert capsys.readouterr().out == ""
    compared(arms, seeds=1, epochs=1, directory=tmp_path, verbose=2)
    assert capsys.readouterr().out == ""
