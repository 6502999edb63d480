"""The operations that suit the type of a step, since optax calls a schedule with JAX's arrays on every backend."""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

import keras

from onecycle.keras_support import backends

if TYPE_CHECKING:
    from onecycle.keras_support.types import Nested


def ops_for(step: Nested) -> ModuleType:
    """Return `keras.ops`, or the same operations of JAX for an array of JAX if Keras has another backend.

    Args:
        step: An integer array, tensor or variable; in JAX also one that is traced.
    """
    jax = sys.modules.get("jax")
    # A `jax` that is still being imported has no `Array`.
    kind = None if jax is None or backends.name() == "jax" else getattr(jax, "Array", None)
    return keras.ops if kind is None or not isinstance(step, kind) else _jax_ops()


@cache
def _jax_ops() -> ModuleType:
    """Return the operations of `keras.ops` that curves use, as functions of JAX."""
    import jax.numpy as jnp

    names = ("add", "subtract", "multiply", "minimum", "maximum", "absolute", "exp", "sin", "sqrt", "sum", "where")
    return SimpleNamespace(  # type: ignore[return-value]  # it has the operations of the module
        **{name: getattr(jnp, name) for name in (*names, "expand_dims")},
        convert_to_tensor=jnp.asarray,
        cast=lambda x, dtype: x.astype(dtype),
        dtype=lambda x: str(x.dtype),
    )
