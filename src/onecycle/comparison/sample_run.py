"""What `build` and `data` give for one seed, looked at before any run: what is wrong with them shows here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from onecycle.comparison.arms import Arm
from onecycle.comparison.measures import choose_metric, choose_mode
from onecycle.comparison.runs import built, data_of, start_facts
from onecycle.keras_support import training_data
from onecycle.keras_support.attributes import set_quietly
from onecycle.keras_support.train_function import method_of_ones_own
from onecycle.results.comparison import RunRecord


@dataclass(frozen=True)
class Example:
    """A model as the runs of a seed begin with it, and their data.

    Attributes:
        model: The model, with its weights.
        x: Training data.
        y: Its targets, or None where a data set holds them.
        validation: (x_val, y_val).
        start: Digests of data and initial weights, as the records of this seed hold them.
    """

    model: Any
    x: Any
    y: Any
    validation: Any
    start: dict[str, Any]

    @classmethod
    def read(cls, build: Callable[[], Any], data: Any, seed: int, batch_size: int | None) -> Example:
        """The example of a seed, as a run makes it.

        Raises:
            ValueError: For data of another form, or that can be read only once; or a model that is not compiled.
        """
        try:
            (x, y), (x_held, y_held) = data_of(data, seed)
        except (TypeError, ValueError) as error:
            raise ValueError(
                "Argument `data` must be ((x, y), (x_val, y_val)), or a function of the seed that returns that."
            ) from error
        training_data.check(x, y, batch_size)
        if not callable(data) and any(map(training_data.is_one_shot, (x, x_held))):
            raise ValueError(
                "Argument `data` is a generator, which only the first run could read. Pass arrays or data sets, or a "
                "function of the seed that makes a new generator."
            )
        model = built(build, seed)
        training_data.build(model, x, y, batch_size)
        # Before anything is done with the model.
        return cls(model, x, y, (x_held, y_held), start_facts(model, x, y, (x_held, y_held)))

    def batch_size(self, asked: int, arms: Iterable[Arm]) -> int | None:
        """Rows of a batch of the arms that do not have their own; None where the data come in batches already.

        Raises:
            ValueError: Where somebody asks such data for batches of another size.
        """
        if training_data.is_arrays(self.x):
            return asked
        wishes = [f"arm {arm.name!r} has batch_size={arm.batch_size}" for arm in arms if arm.batch_size is not None]
        wishes += [f"batch_size={asked}"] if asked != training_data.DEFAULT_BATCH_SIZE else []
        if wishes:
            raise ValueError(
                "Argument `batch_size` says nothing to data sets, which come in batches of their own: give arrays, or "
                f"leave it out. Received: {wishes[0]}"
            )
        return None

    def expected(self, batch_size: int | None, arms: Iterable[Arm]) -> Expected:
        """What the runs' histories will have, from one batch of the validation data that is evaluated."""
        x, y = self.validation
        size = batch_size if training_data.is_arrays(x) else None
        names = None
        if not training_data.is_one_shot(x):  # what is drawn from a generator would be missing from the runs
            names = sorted(self.model.evaluate(x, y, batch_size=size, steps=1, verbose=0, return_dict=True))
        return Expected(
            names=None if names is None else (*names, *(f"val_{name}" for name in names)),
            others=all(arm.callbacks is not None for arm in arms),
            others_of_training=method_of_ones_own(self.model) is not None,
        )

    def try_arms(self, arms: Iterable[Arm], epochs: int, batch_size: int | None) -> None:
        """Have each arm get ready to train the example, so that one that cannot is known before the first run.

        Raises:
            TypeError, ValueError: For an optimizer or schedule that is none, or a momentum the optimizer does not have.
            RuntimeError: For a function of an arm's that raises anything else.
        """
        own = self.model.optimizer
        for arm in arms:
            steps = None
            size = arm.batch_size or batch_size
            if size is not None:
                steps = (arm.epochs or epochs) * -(-training_data.rows((self.x, self.y)) // size)
            try:
                arm.try_on(self.model, self.x, steps)
            except Exception as error:
                kind = next((kind for kind in (TypeError, ValueError) if isinstance(error, kind)), RuntimeError)
                name = "" if kind is not RuntimeError else f"{type(error).__name__}: "
                raise kind(f"Arm {arm.name!r}: {name}{error}") from error
            finally:
                set_quietly(self.model, optimizer=own)


@dataclass(frozen=True)
class Expected:
    """What is known, before the runs, of the names in their histories.

    Attributes:
        names: The names, or None where nothing is known of them.
        others: Whether there may be others in every run: callbacks add what they like.
        others_of_training: Whether there may be others that are not of validation: the model trains in a way of its
            own, which may tell of other things than its evaluation.
    """

    names: tuple[str, ...] | None
    others: bool
    others_of_training: bool

    def settled(self, records: Iterable[RunRecord], metric: str | None, mode: str) -> tuple[str | None, str]:
        """The metric and its mode, as far as they can be known.

        Args:
            records: Those that are there already, of which none may be without the metric.
            metric: As it was asked for.
            mode: As it was asked for.

        Raises:
            ValueError: For a metric that some run would not have, or one whose name does not tell which way is better.
        """
        if self.names is None:
            if metric is not None:
                choose_mode(metric, mode)
            return metric, mode
        unknown = self.others or (self.others_of_training and not (metric or "").startswith("val_"))
        if metric is None or not unknown:
            there = [record.history for record in records]
            metric = choose_metric([name for name in self.names if all(name in one for one in there)], metric)
        return metric, choose_mode(metric, mode)
