"""`onecycle find`: a learning rate range test of the user's model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from onecycle.cli import console
from onecycle.cli.options import AsJson, BackendChoice, BatchSize, Debug, PlotFile, ResultFile, Seed, UserFunction
from onecycle.cli.result_run import ResultRun

if TYPE_CHECKING:
    from onecycle.results import RangeTest


def find_command(
    function: UserFunction,
    min_learning_rate: Annotated[float, typer.Option(help="Learning rate of the first step.")] = 1e-6,
    max_learning_rate: Annotated[
        float, typer.Option(help="Learning rate of the last step, unless the loss diverges before.")
    ] = 10.0,
    num_steps: Annotated[int, typer.Option(min=10, help="Number of training steps of the test.")] = 300,
    batch_size: BatchSize = None,
    seed: Seed = None,
    backend: BackendChoice = None,
    save: ResultFile = None,
    plot: PlotFile = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Find a learning rate for your model and data with a range test.

    Your model is left unchanged. The exit code is 1 if the test suggests no learning rate.

    Example: `onecycle find train.py:make --plot found.png`
    """
    run = ResultRun(function, batch_size, seed, backend, save, plot, as_json)
    with console.exit_codes(debug=debug):
        check_learning_rates(min_learning_rate, max_learning_rate)
        result: RangeTest = run.result_of(
            "find_learning_rate", min_learning_rate=min_learning_rate, max_learning_rate=max_learning_rate,
            num_steps=num_steps, seed=seed, verbose=run.verbose,
        )  # fmt: skip
        table = range_test_table(result)
        console.print_result(result.summary(), range_test_facts(result), as_json=as_json, table=table)
        # After the result, which has the reason.
        if result.suggestion.learning_rate is None:
            raise typer.Exit(console.EXIT_FAILURE)
        peak = save or f"{result.learning_rate:.3g}"
        step = f"`onecycle fit {function} --epochs 10 --max-learning-rate {peak}` trains with this rate as the peak"
        console.print_next(step, as_json=as_json)


def check_learning_rates(min_learning_rate: float, max_learning_rate: float) -> None:
    """Raise a `UsageError` if a learning rate is not one, or the range of learning rates is empty."""
    from onecycle.suggestions.arguments import check_learning_rate

    with console.options_named():
        check_learning_rate("min_learning_rate", min_learning_rate)
        check_learning_rate("max_learning_rate", max_learning_rate)
    if not min_learning_rate < max_learning_rate:
        raise console.UsageError(
            "Option --min-learning-rate must be less than --max-learning-rate. "
            f"Received: --min-learning-rate {min_learning_rate:g} --max-learning-rate {max_learning_rate:g}"
        )


def range_test_facts(result: RangeTest) -> dict[str, object]:
    """Return the result without its curve, which `--save` writes, as JSON values."""
    return {
        "learning_rate": result.suggestion.learning_rate,
        "interval": None if result.interval is None else list(result.interval),
        "rule": result.rule,
        "reason": result.suggestion.reason,
        "stop_reason": result.ending,
        "hints": list(result.hints),
        "steps": len(result.learning_rates),
        "suggestions": {name: suggestion.learning_rate for name, suggestion in result.suggestions.items()},
    }


def range_test_table(result: RangeTest) -> list[dict[str, str]]:
    """Return a row for the suggestion of each rule, first that of the rule in use."""
    names = sorted(result.suggestions, key=lambda name: name != result.rule)
    return [
        {
            "rule": f"{name} (decides)" if name == result.rule else name,
            "learning rate": "none" if suggestion.learning_rate is None else f"{suggestion.learning_rate:.3g}",
            "why": suggestion.reason,
        }
        for name, suggestion in ((name, result.suggestions[name]) for name in names)
    ]
