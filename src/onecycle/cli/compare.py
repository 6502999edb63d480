"""`onecycle compare`: a paired comparison of ways to train the user's model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from onecycle.cli import console
from onecycle.cli.environment import (
    check_output_files,
    check_output_folder,
    name_missing_packages,
    select_backend,
    write_result,
)
from onecycle.cli.options import AsJson, BackendChoice, Cluster, Debug, Jobs, PlotFile, ResultFile
from onecycle.cli.user_code import call_user_function, check_function_name, describe_returned
from onecycle.keras_support.quiet_import import import_keras

if TYPE_CHECKING:
    import keras

    from onecycle.results import Comparison, Verdict


MOST_SEEDS = 100  # more are not worth proposing


def compare_command(
    function: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION",
            help="Your function, as MODULE:FUNCTION or FILE.py:FUNCTION. It returns (build, data, arms).",
        ),
    ],
    seeds: Annotated[
        int, typer.Option(min=1, help="Number of seeds per arm. With fewer than 3 there is no verdict.")
    ] = 10,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs per run.")] = 10,
    batch_size: Annotated[int, typer.Option(min=1, help="Batch size.")] = 32,
    metric: Annotated[str | None, typer.Option(help="Metric to compare, such as val_accuracy.")] = None,
    mode: Annotated[str, typer.Option(help="Which values are better: max (higher), min (lower) or auto.")] = "auto",
    target: Annotated[
        float | None,
        typer.Option(help="Value of the metric to reach. Default: the mean of the best values of the baseline."),
    ] = None,
    margin: Annotated[float | None, typer.Option(help="Largest difference in the metric that does not matter.")] = None,
    directory: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for the runs. Runs that are already there are reused.")
    ] = None,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    backend: BackendChoice = None,
    save: ResultFile = None,
    plot: PlotFile = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare ways to train your model, with the same initial weights and several seeds.

    Example: `onecycle compare train.py:arms --seeds 10 --directory runs --save comparison.json`
    """
    with console.exit_codes(debug=debug, run_directory=directory):
        check_output_files(save=save, plot=plot)
        check_comparison_options(mode=mode, target=target, margin=margin, directory=directory)
        check_function_name(function)
        with console.reserve_stdout(as_json=as_json):
            select_backend(backend)
            code = load_comparison_code(function)
            import_keras(seeded=True)
            with name_missing_packages(), setting_errors_as_usage_errors():
                from onecycle import compare

                check_data_and_arms(code)
                result = compare(
                    *code, seeds=seeds, epochs=epochs, batch_size=batch_size, metric=metric, mode=mode, target=target,
                    margin=margin, directory=directory, jobs=jobs, cluster=cluster,
                    verbose=console.keras_verbosity(as_json=as_json, lines=True),
                )  # fmt: skip
            write_result(result, save=save, plot=plot)
        console.print_result(unwarned(result), comparison_facts(result), as_json=as_json, table=result.rows())
        console.print_next(step_after_comparison(result, save=save, directory=directory), as_json=as_json)


def unwarned(result: Comparison) -> str:
    """Return the summary without the problems that were printed as warnings before the runs."""
    warned = {f"Problem: {warning}" for warning in console.shown_warnings}
    return "\n".join(line for line in result.summary().splitlines() if line not in warned)


def step_after_comparison(result: Comparison, *, save: Path | None, directory: Path | None) -> str:
    """Return the step to take after a comparison: more seeds if they would help, or else the report."""
    counts = [verdicts["final"].more_seeds for verdicts in result.verdicts.values() if "final" in verdicts]
    more = max((count for count in counts if count is not None), default=0)
    if 0 < more <= MOST_SEEDS:
        reused = "" if directory is not None else ", and with `--directory runs` to keep the finished runs"
        return f"the same command with `--seeds {len(result.seeds) + more}`{reused}"
    if save is not None:
        return f"`onecycle report {save}` for a page with every run"
    return "the same command with `--save comparison.json`, and `onecycle report comparison.json` for a page"


@contextmanager
def setting_errors_as_usage_errors() -> Iterator[None]:
    """Raise a `UsageError` for an error of the caller. Errors of the model and the data are failures of the command."""
    from onecycle.comparison.errors import BuildError, SettingError

    try:
        with console.options_named(SettingError):
            yield
    except BuildError as error:
        raise console.UsageError(str(error)) from error


def check_comparison_options(*, mode: str, target: float | None, margin: float | None, directory: Path | None) -> None:
    """Check the options of a comparison, before any work.

    Args:
        mode: Which values are better.
        target: Value of the metric to reach.
        margin: Largest difference that does not matter.
        directory: Folder for the runs.

    Raises:
        UsageError: If one of them is invalid.
    """
    from onecycle.results.metrics import check_mode
    from onecycle.suggestions.arguments import check_number

    with console.options_named():
        check_mode(mode)
        if target is not None:
            check_number("target", target)
        if margin is not None:
            check_number("margin", margin, above=0)
    if directory is not None:
        check_output_folder(directory, "--directory")


class ComparisonCode(NamedTuple):
    """What the user's function returns: the first arguments of `onecycle.compare`.

    Attributes:
        build: Returns a new compiled model.
        data: Training and validation data, or a function of the seed that returns them.
        arms: Name of the arm -> its settings.
    """

    build: Callable[[], keras.Model]
    data: Any
    arms: Mapping[str, Mapping[str, Any]]


def load_comparison_code(name: str) -> ComparisonCode:
    """Call the user's function, given as MODULE:FUNCTION or FILE.py:FUNCTION, and return what it returns."""
    returned = call_user_function(name)
    # The dict distinguishes it from (model, x, y), which the other commands take.
    if not isinstance(returned, tuple) or len(returned) != 3 or not isinstance(returned[2], Mapping):
        raise console.UsageError(
            f"{name} must return (build, data, arms), with a dict of arms, as for `onecycle.compare`. "
            f"Received: {describe_returned(returned)}"
        )
    return ComparisonCode(*returned)


def check_data_and_arms(code: ComparisonCode) -> None:
    """Raise a `UsageError` if the user's function returned data or arms in another form than `compare` takes."""
    from onecycle.comparison.arms import read_arms
    from onecycle.comparison.splits import checked_data

    with console.value_errors_as_usage_errors():
        read_arms(code.arms)
        checked_data(code.data)


def comparison_facts(result: Comparison) -> dict[str, object]:
    """Return the result without its runs, which `--save` writes, as JSON values."""
    return {
        "baseline": result.baseline,
        "seeds": list(result.seeds),
        "metric": result.metric,
        "mode": result.mode,
        "target": console.finite_or_none(result.target),
        "margin": result.margin,
        "verdicts": {
            arm: {measure: verdict_facts(verdict) for measure, verdict in verdicts.items()}
            for arm, verdicts in result.verdicts.items()
        },
        "diverged": {arm: result.diverged(arm) for arm in result.arms},
        "problems": list(result.problems),
    }


def verdict_facts(verdict: Verdict) -> dict[str, object]:
    """Return a verdict as JSON values."""
    return {
        "verdict": verdict.kind,
        "effect": console.finite_or_none(verdict.effect),
        "low": console.finite_or_none(verdict.low),
        "high": console.finite_or_none(verdict.high),
        "interval": verdict.interval_name,
        "p": console.finite_or_none(verdict.p),
        "probability": console.finite_or_none(verdict.probability),
        "more_seeds": verdict.more_seeds,
        "sentence": verdict.sentence,
    }
