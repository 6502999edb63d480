"""`race_learning_rates`: a few whole cycles, of which the worse ones are dropped on the way."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Unpack

import keras

from onecycle.finding.race_candidates import Candidates
from onecycle.finding.race_request import RaceRequest
from onecycle.finding.race_run import run_race
from onecycle.hyperparameters.layer_rates import LayerRates, LayerRatesArgument
from onecycle.keras_support.types import Nested
from onecycle.results.race import Race
from onecycle.suggestions.argument_names import suggest_names
from onecycle.training.cycle_spec import MomentumPair, ScheduleMaker
from onecycle.training.fit_arguments import FitArguments


@suggest_names(others=FitArguments.__annotations__)
def race_learning_rates(
    model: keras.Model,
    x: Nested,
    y: Nested = None,
    *,
    epochs: int,
    candidates: Candidates = 3,
    validation_data: Nested = None,
    monitor: str = "val_loss",
    mode: str = "auto",
    schedule: ScheduleMaker | None = None,
    momentum: str | MomentumPair | None = "auto",
    layer_rates: LayerRatesArgument | LayerRates = None,
    decay: float | None = None,
    budget: float | None = None,
    batch_size: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    sample_weight: Nested = None,
    class_weight: dict[int, float] | None = None,
    averaged_weights: bool = False,
    on_interrupt: str = "restore",
    directory: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    seed: int | None = None,
    verbose: int | str = "auto",
    **fit_arguments: Unpack[FitArguments],
) -> Race:
    """Train with several peaks, drop the worse ones on the way, and keep the best one, trained.

    A range test suggests a peak. Whole cycles with multiples of it, 0.16, 1 and 6.25, start from the current state
    of the model and the same random states. At 0.24 of the cycle they are judged on held-out data, and one more is
    added next to the best one, 2.5 times as high or low. Two go on to 0.7 of the cycle, and the better one to the
    end. This costs at most 2.3 runs, and more in trainings of fewer than 300 steps. The model then has the weights
    and the optimizer state of the winner, as if `fit_one_cycle` had been called with its peak.

    In the middle of a cycle, the loss itself favors peaks that are too low. So the candidates are judged by the
    exponential moving average of their weights and BatchNormalization statistics, which stands for the annealing to
    come. The average is kept apart from the training. Where a network will overfit, high peaks are better for a while.
    So at 0.24 of the cycle the best is the candidate whose scores there and at 0.1 lead, in a straight line, to the
    lowest one at 0.7. The one with the lowest score itself goes on too. On fewer than 1,000 held-out rows, scores are
    too noisy for this: the multiples are 0.4, 1 and 2.5, none is added, and the best two scores at 0.24 go on.

    The candidates take turns: each is trained with `fit` up to a cut and then paused, with all its state in the memory
    of the host. It goes on exactly where it was, in the middle of an epoch too. The exceptions are `tf.data` and, on
    TensorFlow, arrays without a global seed, whose order cannot be repeated: there the cuts are at the ends of epochs.

    Args:
        model: A compiled model, new or trained.
        x: Training data, as `Model.fit` takes it, except generators.
        y: Targets, as in `fit`.
        epochs: Number of epochs, which is the length of the cycle.
        candidates: Number of candidates at the start, 2 to 8, at multiples of the suggestion: 0.4 and 2.5; 0.16, 1 and
            6.25; 0.064, 0.4, 2.5 and 16; more, or with few held-out rows, in steps of 2.5. Or the peaks themselves, as
            a list or a 1-D array, and there is no range test.
        validation_data: The held-out data on which the candidates are judged, as `fit` takes it. It is also evaluated
            after each epoch. By default a random fifth of the rows is held out, at most 10,000, on which the winner is
            not trained; of a data set, a fifth of its batches. Required for data sets that shuffle their rows anew in
            each epoch, for which this is impossible.
        monitor: The metric by which the candidates are judged, such as `"val_loss"` or `"val_accuracy"`.
        mode: `"min"` or `"max"`, whichever is better; `"auto"` for what the name of the metric says.
        schedule: A callable `(total_steps, max_learning_rate) -> schedule` that replaces the article's cycle, as in
            `fit_one_cycle`.
        momentum: As in `OneCycleScheduler`.
        layer_rates: Factors on the learning rate of layers, or `"decay"`, as in `schedule_hyperparameters`. The peaks
            are those of layers with factor 1.
        decay: The ratio for `layer_rates="decay"`.
        budget: Training steps in runs, range test included, up to which candidates are added at the first cut next to
            the best one. The candidates themselves may cost more. Defaults to 2.05, 2.3 and 2.55 for two, three and
            four candidates, and so on. By default, none are added to peaks that were given.
        batch_size: As in `fit`.
        callbacks: More callbacks, as in `fit`. Each candidate has copies of them. After the race, those passed have the
            state of the winner's. Callbacks that write files write them for each candidate.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        averaged_weights: Whether the model ends with the averaged weights of the winner instead of its last ones.
        on_interrupt: What Ctrl-C leaves: `"restore"` for the model as it was, `"best"` for the candidate that led when
            it came. The interrupt is raised in both cases.
        directory: Folder in which the candidates are saved at each cut. After an interruption, the same call, in a new
            process too, goes on from the last cut that each has reached. Not with `callbacks`, whose state is not
            saved; without `validation_data` or `validation_split` only with a `seed`.
        jobs: Number of processes of this machine that train candidates at the same time, each with its share of the
            cores and, if there are GPUs, with a GPU. The winner is trained to its end in this process. The model is
            sent as a file of Keras, the data with it; neither `tf.data` nor `callbacks` can be sent.
        cluster: `"dask://host:port"`, `"ray"` or `"ray://host:port"` instead of `jobs`: a cluster whose workers have
            onecycle and the backend installed. Each leg of a candidate up to a cut is trained in a separate process
            there, and so is the last one of the winner. Under a `MirroredStrategy` or a `DataParallel` distribution,
            each worker splits the batches among all its devices.
        seed: Seed of all random generators at the beginning of each candidate. The model then ends as after
            `keras.utils.set_random_seed(seed)` and `fit_one_cycle`. With None, all begin with the current states.
        verbose: 0 or 2 for silence, 1 for a progress bar, `"auto"` for 1.
        **fit_arguments: Other arguments of `fit`, such as `validation_split` or `steps_per_epoch`.

    Returns:
        A `Race`. `result.learning_rate` is the winner's peak, and `result.history` its history.

    Raises:
        TypeError, ValueError: For invalid arguments, or if all candidates diverge, down to the lowest. The model is
            then as it was.
        RuntimeError: If a training in another process fails, or such processes are killed repeatedly.

    Example:

    ```python
    result = onecycle.race_learning_rates(model, x, y, epochs=20, validation_data=(x_val, y_val))
    print(result.summary())
    ```

    References:
        N. Ajroldi, A. Orvieto, J. Geiping, When, where and why to average weights? (2025), arXiv:2502.06761.
        K. Jamieson, A. Talwalkar, Non-stochastic best arm identification and hyperparameter optimization (2016),
        arXiv:1502.07943, section 2: successive halving, of which a race is a case with whole schedules.
    """
    request = RaceRequest(
        epochs=epochs, candidates=candidates, validation_data=validation_data, monitor=monitor, mode=mode,
        schedule=schedule, momentum=momentum, layer_rates=layer_rates, decay=decay, budget=budget,
        batch_size=batch_size, callbacks=callbacks,
        sample_weight=sample_weight, class_weight=class_weight, averaged_weights=averaged_weights,
        on_interrupt=on_interrupt, directory=directory, jobs=jobs, cluster=cluster, seed=seed, verbose=verbose,
        fit_arguments=fit_arguments,
    )  # fmt: skip
    return run_race(model, x, y, request)[0]
