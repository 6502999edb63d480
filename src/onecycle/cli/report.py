"""`onecycle report`: saved results as one HTML file. Keras is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onecycle.cli import console
from onecycle.cli.environment import check_output_file
from onecycle.cli.options import AsJson, Debug

if TYPE_CHECKING:
    from onecycle.results import Result


def report_command(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Results saved with --save.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.html", dir_okay=False, help="File for the report.")
    ] = Path("report.html"),
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write saved results to one HTML file, with plots, tables and verdicts.

    The report opens without a network. Neither the model nor Keras is needed.

    Example: `onecycle report found.json comparison.json -o report.html`
    """
    with console.exit_codes(debug=debug):
        check_report_files(results, output)
        from onecycle import load
        from onecycle.report import write_report

        loaded = [load(path) for path in results]
        write_report(loaded, output, sources=[str(path) for path in results])
        megabytes = output.stat().st_size / 1e6
        text = f"Wrote {output} ({megabytes:.1f} MB). Open it in a browser."
        console.print_result(text, report_facts(loaded, output), as_json=as_json)


def check_report_files(results: Sequence[Path], output: Path) -> None:
    """Check, before any work, that the results can be read and the report can be written.

    Raises:
        UsageError: If plotly or a result is missing, or the report cannot be written to that file.
    """
    if find_spec("plotly") is None:
        raise console.UsageError("Reports need plotly. Install it with: pip install plotly")
    # A result that was named as the output by mistake must not be overwritten.
    if output.suffix.lower() not in (".html", ".htm"):
        raise console.UsageError(f"Option --output must end in .html. Received: --output {output}")
    check_output_file(output, "--output")
    for path in results:
        if not path.is_file():
            raise console.UsageError(f"There is no file {path}. Give results that were saved with --save.")


def report_facts(results: Sequence[Result], output: Path) -> dict[str, object]:
    """Return the file, its size and the classes of the results as JSON values."""
    return {
        "report": str(output),
        "bytes": output.stat().st_size,
        "results": [type(result).__name__ for result in results],
    }
