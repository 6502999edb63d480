"""Type aliases for what Keras takes and Python's type system cannot describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import keras

# Arrays, tensors, or nested lists, tuples and dicts of them, as Keras takes them for `x` and `y`; also data sets.
Nested: TypeAlias = Any

# A training step: a number on the host, or the optimizer's counter in the graph.
Step: TypeAlias = "int | keras.Variable | keras.KerasTensor"

# A hyperparameter's value at a step: a float on the host, a scalar tensor in the graph.
StepValue: TypeAlias = "float | keras.Variable | keras.KerasTensor"
