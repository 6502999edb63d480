"""`onecycle find`, `onecycle sweep` and `onecycle fit`: on a person's own model and data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onecycle.cli.options import AsJson, BackendChoice, BatchSize, Debug, Plot, Save, Seed, SubjectName
from onecycle.commands import console
from onecycle.commands.setting import check_writable, use_backend, use_files_only


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
    """Find a learning rate for your model and data; the model is left as it was.

    Example: `onecycle find train.py:make --plot found.png`
    """
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
            from onecycle.commands.find import facts, find, table
            from onecycle.commands.subject import load_subject

            result = find(
                load_subject(subject, seed),
                save=save,
                plot=plot,
                min_learning_rate=min_learning_rate,
                max_learning_rate=max_learning_rate,
                num_steps=num_steps,
                batch_size=batch_size,
                seed=seed,
                verbose=console.bars(as_json=as_json),
            )
        console.show(result.summary(), facts(result), as_json=as_json, table=table(result))
        if result.suggestion.learning_rate is None:
            raise typer.Exit(console.FAILED)


def sweep(
    subject: SubjectName,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the training that the rate is for.")],
    budget: Annotated[
        float | None, typer.Option(help="All steps of the sweep, as a share of that training's.", show_default=False)
    ] = None,
    batch_size: BatchSize = None,
    seed: Seed = None,
    backend: BackendChoice = None,
    save: Save = None,
    plot: Plot = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Pick the cycle's peak by short trainings at several rates, judged on data held out; the model is left as it was.

    Example: `onecycle sweep train.py:make --epochs 20 --plot sweep.png`
    """
    with console.answering(debug=debug):
        if budget is not None and not budget > 0:
            raise console.WrongUse(f"The option --budget must be above 0. Received: {budget:g}")
        check_writable(save=save, plot=plot)
        with console.quiet(as_json=as_json):
            use_backend(backend)
            use_files_only()
            from onecycle.commands.subject import load_subject
            from onecycle.commands.sweep import facts, sweep, table

            result = sweep(
                load_subject(subject, seed),
                save=save,
                plot=plot,
                epochs=epochs,
                batch_size=batch_size,
                seed=seed,
                verbose=console.bars(as_json=as_json),
                **({} if budget is None else {"budget": budget}),
            )
        console.show(result.summary(), facts(result), as_json=as_json, table=table(result))
        if result.pick.learning_rate is None:
            raise typer.Exit(console.FAILED)


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
    """Train your model with 1cycle. Ctrl-C ends it early; what was asked for is written as far as it came.

    Example: `onecycle fit train.py:make --epochs 20 --model trained.keras`
    """
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
                load_subject(subject, seed),
                epochs=epochs,
                max_learning_rate=max_learning_rate,
                batch_size=batch_size,
                seed=seed,
                verbose=console.bars(as_json=as_json, else_lines=True),
            )
            written = outcome.write(save=save, plot=plot, model=model)
        console.show(outcome.summary(), outcome.facts(), as_json=as_json)
        if outcome.interrupted:
            raise console.Interrupted(f"{outcome.interruption()} {console.kept(written)}")
