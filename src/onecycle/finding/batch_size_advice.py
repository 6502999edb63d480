"""`advise_batch_size`: the batch size that should reach a target fastest, from gradients and measured step times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras
import numpy as np

from onecycle.finding.fit_runs import set_seed
from onecycle.finding.gradient_noise import gradient_products
from onecycle.finding.look import Look, NotChecked, look_at
from onecycle.finding.progress import StepProgress
from onecycle.finding.step_times import Train, not_falling, step_seconds, trainer
from onecycle.hyperparameters.optimizer_traits import normalizes_gradients
from onecycle.keras_support import backends, data_faults, training_data
from onecycle.keras_support.fit_start import build_model
from onecycle.keras_support.gradients import gradient_function
from onecycle.keras_support.model_checks import check_model
from onecycle.keras_support.model_state import fixed_batch_size
from onecycle.keras_support.optimizers import optimizer_names
from onecycle.keras_support.origin import origin_of
from onecycle.keras_support.running_fit import without_data_warnings
from onecycle.keras_support.snapshot import preserving
from onecycle.keras_support.types import Nested
from onecycle.results.batch_size import BatchSizeAdvice
from onecycle.suggestions.argument_names import suggest_names
from onecycle.suggestions.arguments import check_integer, check_seed, check_verbose, described
from onecycle.suggestions.gradient_noise import MIN_BATCHES, NoiseScale, gradient_noise_scale

SMALLEST, LARGEST = 8, 4096  # batch sizes that are timed by default
MIN_STEPS_PER_EPOCH = 4
MIN_ROWS = 64
POINTS = (2 / 3, 5 / 6, 1.0)  # fractions of the training at which the gradients are measured


@suggest_names()
def advise_batch_size(
    model: keras.Model,
    x: Nested,
    y: Nested = None,
    *,
    batch_size: int | None = None,
    sample_weight: Nested = None,
    class_weight: dict[int, float] | None = None,
    batch_sizes: Sequence[int] | None = None,
    training_steps: int = 300,
    micro_batches: int = 64,
    seed: int | None = None,
    verbose: int | str = "auto",
) -> BatchSizeAdvice:
    """Advise a batch size, from the noise of the gradient and the time of a training step.

    A larger batch has a less noisy gradient, so training takes fewer steps, but reads more rows until a target: the
    number of steps is proportional to 1 + B / batch size, where B is the gradient noise scale. It is measured without
    bias from the gradients of `micro_batches` small batches at three points of a short training, since it is small at
    first. The time of a step is measured for each batch size in calls of `fit`. The advice is the largest size whose
    expected time is at most 25 % above the shortest: the estimate is no more exact, and a large batch has less noise at
    the end of a training. The model is left unchanged, as by `find_learning_rate`: a model that had no weights stays
    built.

    Args:
        model: A compiled model.
        x: Training data, as `Model.fit` takes it, except generators. Of a data set, at most 128 batches are read, and
            the time that reading takes is not part of the advice.
        y: Targets, as in `fit`.
        batch_size: The present batch size, to which the factors of the learning rate refer; 32 by default.
        sample_weight: As in `fit`.
        class_weight: As in `fit`.
        batch_sizes: The batch sizes to time; by default powers of 2 from 8 to 4096 with at least 4 batches per epoch.
            Those that do not fit into memory are left out.
        training_steps: Steps of training, at the learning rate of the optimizer. The gradients are measured after two
            thirds, after five sixths and at the end of it. Some 10 % of the training that you plan is enough.
        micro_batches: Number of batches whose gradients are compared at each point, at least 8. More make the interval
            narrower.
        seed: Makes the choice of rows and unseeded layers reproducible on the same machine and backend. Times vary.
        verbose: 0 or 2 for silence, 1 for a progress bar, `"auto"` for 1.

    Returns:
        A `BatchSizeAdvice`. Its `batch_size` is None if the noise scale is not known well enough.

    Raises:
        TypeError, ValueError: For invalid arguments, for data that `fit` does not take, for generators and data sets
            whose batches cannot be joined, and for models with their own training step or a fixed batch size.

    Example:

    ```python
    advice = onecycle.advise_batch_size(model, x, y)
    print(advice.summary())
    ```

    References:
        S. McCandlish, J. Kaplan, D. Amodei et al., An empirical model of large-batch training (2018),
        arXiv:1812.06162, sections 2.2 and 2.3.
    """
    check_model(model, x)
    data = {"batch_size": batch_size, "sample_weight": sample_weight, "class_weight": class_weight}
    training_data.check_data(model, x, y, **data)
    check_integer("training_steps", training_steps, minimum=0)
    check_integer("micro_batches", micro_batches, minimum=MIN_BATCHES)
    check_seed(seed)
    check_verbose(verbose)
    if training_data.is_one_shot(x):
        raise ValueError(
            "The measurement reads its data several times, and a generator gives each batch only once. Pass data that "
            f"can be read again. Received: x of type {type(x).__name__}"
        )
    build_model(model, x, y, **data)
    data_faults.check_data_values(model, x, y, sample_weight, class_weight, read=True)

    def run() -> tuple[Look, NoiseScale, dict[str, int], list[tuple[int, float]]]:
        look = _checked_look(model, x, y, data)
        sizes = _sizes(batch_sizes, training_data.count_rows(look.x))
        progress = StepProgress(2 + len(sizes), verbose)
        with without_data_warnings():
            scale, how = _measure(look, training_steps, micro_batches, seed, progress)
            arrays = (look.x, look.y, look.sample_weight)
            timed = []
            train = trainer(model, arrays, class_weight)
            for pair in step_seconds(model, train, training_data.count_rows(look.x), sizes):
                timed.append(pair)
                progress.update(2 + len(timed))
        progress.finish()
        return look, scale, how, timed

    look, scale, how, timed = preserving(model, run, data=x)
    return BatchSizeAdvice(
        batch_sizes=np.array([size for size, _ in timed]), step_seconds=not_falling([one for _, one in timed]),
        noise_scale=scale.value, interval=scale.interval, current_batch_size=look.batch_size,
        scaling="square root" if normalizes_gradients(model.optimizer) else "linear", training_steps=training_steps,
        **how, seed=seed, config={"optimizer": optimizer_names(model.optimizer), "backend": backends.name()},
        versions=backends.versions(), origin=origin_of(model),
    )  # fmt: skip


def _checked_look(model: keras.Model, x: Nested, y: Nested, data: dict[str, Nested]) -> Look:
    look = look_at(model, x, y, **data)
    try:
        look.require_usual_step("compute_loss")
        if fixed_batch_size(model) is not None:
            raise NotChecked(f"the model takes batches of {fixed_batch_size(model)} rows only")
        if look.x is None:
            raise NotChecked("the batches of this data set cannot be joined: pass arrays")
        if training_data.count_rows(look.x) < MIN_ROWS:
            raise NotChecked(f"at least {MIN_ROWS} rows are needed, and {training_data.count_rows(look.x)} were read")
    except NotChecked as reason:
        raise ValueError(f"No batch size can be advised, because {reason}.") from reason
    return look


def _sizes(given: Sequence[int] | None, rows: int) -> list[int]:
    """Return the batch sizes to time, increasing."""
    if given is None:
        most = min(LARGEST, max(SMALLEST, rows // MIN_STEPS_PER_EPOCH))
        return [2**power for power in range(SMALLEST.bit_length() - 1, most.bit_length())]
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        raise TypeError(f"Argument `batch_sizes` must be a list of sizes. Received: batch_sizes={described(given)}")
    sizes = sorted({check_integer("batch_sizes", size) for size in given})
    if not sizes or sizes[-1] > rows:
        raise ValueError(
            f"Argument `batch_sizes` must have sizes up to the number of rows, {rows}. Received: batch_sizes={given}"
        )
    return sizes


def _measure(
    look: Look, training_steps: int, micro_batches: int, seed: int | None, progress: StepProgress
) -> tuple[NoiseScale, dict[str, int]]:
    """Train a little and return the noise scale, and on how many batches of which size it was measured."""
    arrays, total = (look.x, look.y, look.sample_weight), training_data.count_rows(look.x)
    chosen = int(np.random.default_rng(seed).integers(2**31))
    set_seed(seed)
    # Of two rows at least, since BatchNormalization makes the same of any single row.
    batches = min(micro_batches, total // 2)
    rows = min(look.batch_size, total // batches)
    train = trainer(look.model, arrays, look.class_weight)
    products, trained, gradients = [], 0, None
    for number, steps in enumerate(sorted({round(point * training_steps) for point in POINTS})):
        if steps > trained:
            _train(train, total, look.batch_size, steps - trained, chosen + number)
            trained = steps
        look.loss_parts()  # builds the compiled loss
        gradients = gradients or gradient_function(look.model, often=True)  # traced once
        products.append(
            gradient_products(gradients, arrays, look.class_weight, batches=batches, rows=rows, seed=chosen + number)
        )
        if not np.isfinite(products).all():
            raise ValueError(
                "The gradients are not finite after a little training: the learning rate of the optimizer is too high. "
                f"Find one with `find_learning_rate`. Received: training_steps={training_steps}"
            )
    progress.update(2)
    return gradient_noise_scale(products, rows, seed=chosen), {"micro_batches": batches, "micro_batch_size": rows}


def _train(train: Train, total: int, batch_size: int, steps: int, seed: int) -> None:
    size = min(batch_size, total)
    random = np.random.default_rng(seed)
    orders = [random.permutation(total) for _ in range(-(-steps * size // total))]
    train(np.concatenate(orders)[: steps * size], size)
