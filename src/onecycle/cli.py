"""The command line, `onecycle`: reads the options and calls what does the work. Keras is imported in the handlers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import onecycle
from onecycle.commands import console
from onecycle.commands.setting import Backend, check_writable, use_backend, use_files_only

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    # An unforeseen error is answered by `console.answering`, in one sentence.
    pretty_exceptions_enable=False,
)

SubjectName = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FUNCTION",
        help="Your function, as MODULE:FUNCTION or FILE.py:FUNCTION. It returns (model, x, y) or (model, dataset).",
    ),
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Examples in a batch; Keras' 32 where nothing is said.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Makes the result repeat exactly.")]
BackendChoice = Annotated[Backend | None, typer.Option(help="Keras' backend; KERAS_BACKEND where nothing is said.")]
Plot = Annotated[Path | None, typer.Option(metavar="FILE.png", dir_okay=False, help="Draw the result into this file.")]
Save = Annotated[Path | None, typer.Option(metavar="RESULT.json", dir_okay=False, help="Write the result here.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with these arguments, or the process' own, and return the exit code."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="onecycle")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def print_version(asked: bool) -> None:
    """Print the version and stop, if it was asked for."""
    if asked:
        typer.echo(onecycle.__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Find a learning rate and train with 1cycle, on Keras 3."""


@app.command()
def demo(
    output: Annotated[Path, typer.Option(file_okay=False, help="Folder for the pictures.")] = Path("onecycle-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of both trainings.")] = 0,
    backend: BackendChoice = None,
    debug: Debug = False,
) -> None:
    """Show it working: find a rate on handwritten digits, train a baseline and a 1cycle run."""
    with console.answering(debug=debug):
        use_backend(backend, default=Backend.tensorflow)
        use_files_only()
        from onecycle.commands.demo import show_demo

        show_demo(output, seed)


@app.command()
def find(
    subject: SubjectName,
    min_learning_rate: Annotated[float, typer.Option(help="The rate the test begins with.")] = 1e-6,
    max_learning_rate: Annotated[float, typer.Option(help="The rate the test ends with, if not before.")] = 10.0,
    num_steps: Annotated[int, typer.Option(min=10, help="Steps of the test.")] = 300,
    batch_size: BatchSize = None,
    seed: Seed = None,
    backend: BackendChoice = None,
    save: Save = None,
    plot: Plot = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Find a learning rate for your model and data; the model is left as it was."""
    with console.answering(debug=debug):
        if not 0 < min_learning_rate < max_learning_rate:
            raise console.WrongUse(
                "The option --min-learning-rate must be above 0 and below --max-learning-rate. "
                f"Received: {min_learning_rate:g} and {max_learning_rate:g}"
            )
        check_writable(save=save, plot=plot)
        with console.quiet(as_json=as_json):
            use_backend(backend)
            use_files_only()
            from onecycle.commands.find import facts, find
            from onecycle.commands.subject import load_subject

            result = find(
                load_subject(subject),
                save=save,
                plot=plot,
                min_learning_rate=min_learning_rate,
                max_learning_rate=max_learning_rate,
                num_steps=num_steps,
                batch_size=batch_size,
                seed=seed,
                verbose=0 if as_json else "auto",
            )
        console.show(result.summary(), facts(result), as_json=as_json)
        if result.suggestion.learning_rate is None:
            raise typer.Exit(console.FAILED)


@app.command()
def fit(
    subject: SubjectName,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs to train; the cycle spans them all.")] = 10,
    max_learning_rate: Annotated[float | None, typer.Option(help="The cycle's peak; found first if left out.")] = None,
    batch_size: BatchSize = None,
    seed: Seed = None,
    backend: BackendChoice = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE.keras", dir_okay=False, help="Write the trained model here.")
    ] = None,
    save: Save = None,
    plot: Plot = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train your model with 1cycle."""
    with console.answering(debug=debug):
        if max_learning_rate is not None and not max_learning_rate > 0:
            raise console.WrongUse(f"The option --max-learning-rate must be above 0. Received: {max_learning_rate:g}")
        check_writable(save=save, plot=plot, model=model)
        with console.quiet(as_json=as_json):
            use_backend(backend)
            use_files_only()
            from onecycle.commands.fit import fit
            from onecycle.commands.subject import load_subject

            outcome = fit(
                load_subject(subject),
                epochs=epochs,
                max_learning_rate=max_learning_rate,
                batch_size=batch_size,
                seed=seed,
                verbose=0 if as_json else "auto",
            )
            outcome.write(save=save, plot=plot, model=model)
        console.show(outcome.summary(), outcome.facts(), as_json=as_json)


@app.command()
def compare(
    parts: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION",
            help="Your function, as MODULE:FUNCTION or FILE.py:FUNCTION. It returns (build, data, arms).",
        ),
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each arm; below 6 nothing can be told.")] = 10,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each run.")] = 10,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples in a batch.")] = 32,
    metric: Annotated[str | None, typer.Option(help="What to compare, such as val_accuracy.")] = None,
    mode: Annotated[str, typer.Option(help="Whether a higher metric is better: auto, max or min.")] = "auto",
    target: Annotated[float | None, typer.Option(help="Count the steps to this; else to the baseline's best.")] = None,
    margin: Annotated[float | None, typer.Option(help="Difference of the metric that does not matter.")] = None,
    directory: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder of the records; started again, only the rest is run.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    cluster: Annotated[str | None, typer.Option(help="dask://HOST:PORT, ray or ray://HOST:PORT.")] = None,
    backend: BackendChoice = None,
    save: Save = None,
    plot: Plot = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare ways to train your model: same starts, several seeds, honest statistics."""
    with console.answering(debug=debug):
        check_writable(save=save, plot=plot)
        with console.quiet(as_json=as_json):
            use_backend(backend)
            use_files_only()
            from onecycle.commands.compare import compare, facts, load_parts

            result = compare(
                load_parts(parts), save=save, plot=plot, seeds=seeds, epochs=epochs, batch_size=batch_size,
                metric=metric, mode=mode, target=target, margin=margin, directory=directory, jobs=jobs,
                cluster=cluster, verbose=0 if as_json else "auto",
            )  # fmt: skip
        console.show(result.summary(), facts(result), as_json=as_json)


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Saved results, as --save writes them.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.html", dir_okay=False, help="Write the report here.")
    ] = Path("report.html"),
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make one HTML file of saved results: pictures, tables, verdicts; no model or network is needed."""
    with console.answering(debug=debug):
        from onecycle.commands.report import facts, report

        found = facts(report(results, output), output)
        console.show(f"Wrote {output}, {found['bytes'] / 1e6:.1f} MB: open it in a browser.", found, as_json=as_json)
