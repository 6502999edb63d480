"""The data of a comparison: training and validation data, the same for every run or for every run of a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from onecycle.keras_support import training_data
from onecycle.keras_support.random_state import seed_generators
from onecycle.keras_support.types import Nested
from onecycle.suggestions.arguments import described

TrainingSplit: TypeAlias = tuple[tuple[Nested, Nested], tuple[Nested, Nested]]  # (x, y), (x_val, y_val)
Data: TypeAlias = TrainingSplit | Callable[[int], TrainingSplit]


def checked_data(data: object) -> Data:
    """Return the argument `data` of `compare` in its full form; a function of the seed is returned as it is.

    Raises:
        ValueError: For data in another form.
    """
    return data if callable(data) else _full_split(data, "data")


def data_for_seed(data: Data, seed: int) -> TrainingSplit:
    """Return `((x, y), (x_val, y_val))` for a seed. Targets that are not given are None.

    Args:
        data: What `checked_data` returned.
        seed: The seed.

    Raises:
        ValueError: If the user's function returns data in another form.
    """
    if not callable(data):
        return data
    seed_generators(seed)
    return _full_split(data(seed), f"data({seed})")


def validation_argument(validation: tuple[Nested, Nested]) -> Nested:
    """Return the argument `validation_data` of `fit` for (x_val, y_val)."""
    x, y = validation
    # `fit` takes a data set without the None beside it.
    return validation if y is not None or training_data.is_arrays(x) else x


def _full_split(data: object, name: str) -> TrainingSplit:
    parts = data if isinstance(data, tuple | list) and len(data) == 2 else (None, None)
    train, validation = map(_full_part, parts)
    if train is None or validation is None:
        received = f"({', '.join(map(_described_part, data))})" if isinstance(data, tuple) else described(data)
        raise ValueError(
            "Argument `data` must be ((x, y), (x_val, y_val)), ((x,), (x_val,)) for a model that needs no targets, "
            "(train, validation) for two data sets, or a function of the seed that returns one of these. "
            f"Received: {name}={received}"
        )
    return train, validation


def _full_part(part: object) -> tuple[Nested, Nested] | None:
    """Return (x, y) of the training or of the validation data, or None if it has another form."""
    if isinstance(part, tuple | list):
        x, y = (*part, None)[:2] if len(part) in (1, 2) else (None, None)
        return None if x is None else (x, y)
    # Two arrays would look like the inputs and the targets, so only data sets may stand alone.
    return None if part is None or training_data.is_arrays(part) else (part, None)


def _described_part(part: object) -> str:
    if isinstance(part, tuple):
        return f"({', '.join(map(described, part))})"
    return described(part)
