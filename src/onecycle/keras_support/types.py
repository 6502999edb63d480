"""Type aliases for what Keras takes and Python's type system cannot describe."""

from __future__ import annotations

from typing import Any, TypeAlias

# Arrays, tensors, or nested lists, tuples and dicts of them, as Keras takes them for `x` and `y`; also data sets.
Nested: TypeAlias = Any
