"""Checks on the model and the data of one seed before any run, so that errors in them show before hours of training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import keras

from onecycle.comparison.arms import Arm
from onecycle.comparison.errors import SettingError
from onecycle.comparison.measures import choose_metric, choose_mode
from onecycle.comparison.runs import build_with_seed, start_digests
from onecycle.comparison.splits import Data, data_for_seed, validation_argument
from onecycle.keras_support import data_faults, training_data
from onecycle.keras_support.attributes import set_untracked
from onecycle.keras_support.data_checks import check_validation_data
from onecycle.keras_support.fit_start import build_model, start_fit
from onecycle.keras_support.model_checks import check_model
from onecycle.keras_support.patches import unpatched
from onecycle.keras_support.train_function import overridden_method
from onecycle.keras_support.types import Nested
from onecycle.results.runs import RunRecord
from onecycle.training.reporting import numeric_columns


@dataclass(frozen=True)
class DryRun:
    """The model with which the runs of a seed start, and their data.

    Attributes:
        model: The model with its initial weights.
        x: Training data.
        y: Targets, or None for data sets that contain them.
        validation: The validation data, (x_val, y_val).
        digests: Digests of the data and of the initial weights, as in the records of this seed.
    """

    model: keras.Model
    x: Nested
    y: Nested
    validation: tuple[Nested, Nested]
    digests: Mapping[str, str | None]

    @classmethod
    def start(cls, build: Callable[[], keras.Model], data: Data, seed: int, batch_size: int | None) -> DryRun:
        """Build the model and read the data as a run with this seed does.

        Args:
            build: Function that returns a new compiled model.
            data: `((x, y), (x_val, y_val))`, or a function of the seed that returns that.
            seed: The seed.
            batch_size: Batch size, or None for data sets.

        Raises:
            TypeError, ValueError: For data in another form or that can be read only once, for a model that is not
                compiled, and for what `fit` refuses.
        """
        (x, y), validation = data_for_seed(data, seed)
        if not callable(data) and any(map(training_data.is_one_shot, (x, validation[0]))):
            raise ValueError(
                "Argument `data` is a generator, which only the first run could read. Pass arrays or data sets, or a "
                "function of the seed that makes a new generator."
            )
        model = build_with_seed(build, seed)
        check_model(model)
        training_data.check_data(model, x, y, batch_size=batch_size)
        check_validation_data(model, validation_argument(validation), batch_size)
        build_model(model, x, y, batch_size=batch_size)
        data_faults.check_data_values(model, x, y, read=not training_data.is_one_shot(x))
        data_faults.check_data_values(model, *validation, part_of="validation_data")
        # The digests are taken first: what follows may change the model.
        digests = start_digests(model, x, y, validation)
        if not training_data.is_one_shot(x):
            start_fit(model, x, y, batch_size=batch_size if training_data.is_arrays(x) else None)
        if training_data.has_own_fit(model):
            x = training_data.lists_as_arrays(x)
        return cls(model, x, y, validation, digests)

    def resolve_batch_size(self, batch_size: int, arms: Iterable[Arm]) -> int | None:
        """Return the batch size of the arms that do not set their own, or None if the data comes in batches.

        Args:
            batch_size: The argument of the comparison.
            arms: The arms.

        Raises:
            SettingError: If a batch size is given for data that comes in batches.
        """
        if training_data.is_arrays(self.x):
            return batch_size
        # The default cannot be distinguished from an explicit 32, so that one is accepted.
        given = [f"batch_size={batch_size}"] if batch_size != training_data.DEFAULT_BATCH_SIZE else []
        given += [f"batch_size={arm.batch_size} of arm {arm.name!r}" for arm in arms if arm.batch_size is not None]
        if given:
            raise SettingError(
                "Argument `batch_size` has no effect on data sets, which already come in batches. Pass arrays, or "
                f"leave it out. Received: {given[0]}"
            )
        return None

    def history_keys(self, batch_size: int | None, arms: Iterable[Arm]) -> HistoryKeys:
        """Return what is known about the keys of the runs' histories, from evaluating one batch of validation data."""
        x, y = self.validation
        names = None
        if not training_data.is_one_shot(x):  # a batch drawn from a generator would be missing in the runs
            size = batch_size if training_data.is_arrays(x) else None
            with unpatched(self.model):
                values = self.model.evaluate(x, y, batch_size=size, steps=1, verbose=0, return_dict=True)
            names = sorted(numeric_columns({name: [value] for name, value in values.items()}))
        return HistoryKeys(
            names=None if names is None else (*names, *(f"val_{name}" for name in names)),
            unknown_from_callbacks=all(arm.callbacks is not None for arm in arms),
            unknown_from_training=overridden_method(self.model) is not None,
        )

    def check_arms(self, arms: Iterable[Arm], epochs: int, batch_size: int | None) -> None:
        """Prepare the model for training by each arm, so that errors in an arm show before the first run.

        Args:
            arms: The arms.
            epochs: Epochs of the arms that do not set their own.
            batch_size: Batch size of the arms that do not set their own, or None for data sets.

        Raises:
            TypeError, ValueError: For an invalid optimizer or schedule, or a momentum that the optimizer does not have.
            RuntimeError: If a function of an arm raises any other error.
        """
        optimizer = self.model.optimizer
        for arm in arms:
            try:
                arm.check(self.model, self.x, self._steps(arm, epochs, batch_size))
            except (TypeError, ValueError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"Arm {arm.name!r}: {error}") from error
            except Exception as error:
                raise RuntimeError(f"Arm {arm.name!r}: {type(error).__name__}: {error}") from error
            finally:
                # The next arm may keep the compiled optimizer.
                set_untracked(self.model, optimizer=optimizer)

    def _steps(self, arm: Arm, epochs: int, batch_size: int | None) -> int | None:
        """Return the steps of an arm's runs, or None for data of unknown length."""
        steps = training_data.steps_per_epoch(self.x, arm.batch_size or batch_size)
        return None if steps is None else (arm.epochs or epochs) * steps


@dataclass(frozen=True)
class HistoryKeys:
    """What is known before the runs about the keys of their histories.

    Attributes:
        names: The keys that are known, or None if nothing is known.
        unknown_from_callbacks: Whether every run may have further keys, because callbacks may add any.
        unknown_from_training: Whether every run may have further keys that are not of validation, because the model
            overrides `train_step` and may report other values than its evaluation.
    """

    names: tuple[str, ...] | None
    unknown_from_callbacks: bool
    unknown_from_training: bool

    def resolve_metric(self, records: Iterable[RunRecord], metric: str | None, mode: str) -> tuple[str | None, str]:
        """Return the metric and its mode as far as they can be known before the runs.

        Args:
            records: The records that exist already. A metric that one of them lacks cannot be compared.
            metric: The argument of the comparison.
            mode: The argument of the comparison.

        Returns:
            The metric, or None if it is known only after the runs, and "max", "min" or "auto".

        Raises:
            ValueError: If some run would lack the metric, or its direction cannot be inferred from its name.
        """
        if self.names is None:
            if metric is not None:
                choose_mode(metric, mode)
            return metric, mode
        if metric is None or not self._may_be_added(metric):
            histories = [record.history for record in records]
            metric = choose_metric([name for name in self.names if all(name in keys for keys in histories)], metric)
        return metric, choose_mode(metric, mode)

    def _may_be_added(self, metric: str) -> bool:
        return self.unknown_from_callbacks or (self.unknown_from_training and not metric.startswith("val_"))
