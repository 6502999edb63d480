"""What the commands share that call a function of `onecycle` with the user's model and data and write its result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onecycle.cli import console
from onecycle.cli.environment import (
    Backend,
    check_can_be_saved,
    check_output_files,
    save_model,
    select_backend,
    write_result,
)
from onecycle.cli.user_code import check_batch_size, check_function_name, load_model_and_data

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class ResultRun:
    """The options that these commands share.

    Attributes:
        function: The user's function, as MODULE:FUNCTION or FILE.py:FUNCTION.
        batch_size: Batch size, or None for 32, as in Keras.
        seed: Random seed, or None.
        backend: Keras backend, or None for the variable KERAS_BACKEND.
        save: File for the result, or None.
        plot: File for its plot, or None.
        as_json: Whether standard output has only JSON.
        model: File for the trained model, or None.
    """

    function: str
    batch_size: int | None
    seed: int | None
    backend: Backend | None
    save: Path | None
    plot: Path | None
    as_json: bool
    model: Path | None = None

    @property
    def verbose(self) -> int:
        """How much Keras prints."""
        return console.keras_verbosity(as_json=self.as_json)

    def result_of(self, name: str, *, validated: bool = False, **arguments: Any) -> Any:
        """Call a function of `onecycle` with the user's model and data, write the files and return the result.

        Args:
            name: Name of the function.
            validated: Whether it takes validation data.
            arguments: Its other arguments; those that are None are left to their defaults.

        Raises:
            UsageError: For an option that cannot work, before Keras is imported where possible.
        """
        check_output_files(save=self.save, plot=self.plot, model=self.model)
        check_function_name(self.function)
        with console.reserve_stdout(as_json=self.as_json):
            select_backend(self.backend)
            # Before `onecycle` imports Keras, since the user's module may choose the backend.
            user = load_model_and_data(self.function, self.seed)
            check_batch_size(user, self.batch_size)
            if self.model is not None:
                check_can_be_saved(user.model)
            if validated:
                arguments["validation_data"] = user.validation_data
            result = _function(name)(
                user.model, user.x, user.y, sample_weight=user.sample_weight, batch_size=self.batch_size,
                **{key: value for key, value in arguments.items() if value is not None},
            )  # fmt: skip
            write_result(result, save=self.save, plot=self.plot)
            if self.model is not None:
                save_model(user.model, self.model)
        return result


def _function(name: str) -> Callable[..., Any]:
    import onecycle

    function: Callable[..., Any] = getattr(onecycle, name)
    return function
