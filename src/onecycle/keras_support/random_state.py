"""The global random number generators that Keras and its backends draw from.

Private names, checked on Keras 3.15.1 and TensorFlow 2.21: `keras.src.backend.common.global_state` with the keys
`global_seed_generator` and `global_random_seed`; `_seed`, `_rng` and `_set_global_seed` of TensorFlow's eager context.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras.src.backend.common import global_state

from onecycle.keras_support import backends

if TYPE_CHECKING:
    from tensorflow.python.eager.context import Context

_GLOBAL_SEED_GENERATOR = "global_seed_generator"
_GLOBAL_SEED = "global_random_seed"


def global_seed_generator() -> keras.random.SeedGenerator | None:
    """Return Keras' global seed generator, or None before the first draw from it."""
    return global_state.get_global_attribute(_GLOBAL_SEED_GENERATOR)


def set_global_seed_generator(generator: keras.random.SeedGenerator | None) -> None:
    """Restore what `global_seed_generator` returned."""
    global_state.set_global_attribute(_GLOBAL_SEED_GENERATOR, generator)


def global_seed() -> int | None:
    """Return the last argument of `keras.utils.set_random_seed`, or None."""
    return global_state.get_global_attribute(_GLOBAL_SEED)


def set_global_seed(seed: int | None) -> None:
    """Restore what `global_seed` returned, without seeding anything."""
    global_state.set_global_attribute(_GLOBAL_SEED, seed)


def seed_generators(seed: int) -> None:
    """Seed all global generators: as `keras.utils.set_random_seed`, and that of PyTorch on every backend.

    A `DataLoader` draws from it on any.
    """
    keras.utils.set_random_seed(seed)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed)


def random_states() -> dict[str, Any]:
    """Return the states of the global generators that Keras' data pipelines and layers may draw from, by library."""
    states: dict[str, Any] = {"python": random.getstate(), "numpy": np.random.get_state()}  # noqa: NPY002 - Keras draws from it
    if "torch" in sys.modules:
        import torch

        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state_all()
    # On any backend, since `tf.data` shuffles by it.
    if "tensorflow" in sys.modules:
        context = _tensorflow_context()
        generator = getattr(context, "_rng", None)  # exists only after seeding or a first draw
        states["tensorflow"] = (context._seed, generator, generator and generator.getstate())
    return states


def set_random_states(states: dict[str, Any]) -> None:
    """Restore what `random_states` returned."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002 - Keras draws from it
    if "torch" in states:
        import torch

        torch.set_rng_state(states["torch"])
        if "cuda" in states:
            torch.cuda.set_rng_state_all(states["cuda"])
    if "tensorflow" in sys.modules:
        # Without a state TensorFlow had not been imported, and so not been seeded.
        seed, generator, state = states.get("tensorflow", (None, None, None))
        context = _tensorflow_context()
        # This also clears kernels that would continue their sequences of random numbers.
        context._set_global_seed(seed)
        context._rng = generator
        if generator is not None:
            generator.setstate(state)


def draw_before_reading(seed: int | None = None) -> None:
    """Draw from PyTorch's generator what `fit` draws from it before the first batch, for its `DataLoader`.

    On the other backends, layers draw from generators of their own. Here they draw from the same one.

    Args:
        seed: Seed to give the generator before, or None.
    """
    if not backends.runs_eagerly():
        return
    import torch

    if seed is not None:
        torch.manual_seed(seed)
    torch.empty((), dtype=torch.int64).random_()


def portable_random_states() -> dict[str, Any]:
    """Return the states of all global generators, Keras' included, as plain values and arrays of NumPy."""
    states = random_states()
    generator = global_seed_generator()
    portable: dict[str, Any] = {
        "python": states["python"],
        "numpy": states["numpy"],
        "keras seed": global_seed(),
        "keras": None if generator is None else backends.to_numpy(generator.state).copy(),
    }
    if "torch" in states:
        portable["torch"] = states["torch"].numpy().copy()
        portable["cuda"] = [state.numpy().copy() for state in states.get("cuda", ())]
    if "tensorflow" in states:
        seed, _, state = states["tensorflow"]
        portable["tensorflow"] = {"seed": seed, "state": state}
    return portable


def set_portable_random_states(portable: dict[str, Any]) -> None:
    """Restore what `portable_random_states` returned, in this process or another. Tuples may have become lists."""
    states: dict[str, Any] = {"python": _python_state(portable["python"]), "numpy": tuple(portable["numpy"])}
    if "torch" in portable and "torch" in sys.modules:
        torch = sys.modules["torch"]
        states["torch"] = torch.from_numpy(portable["torch"].copy())
        if portable["cuda"] and torch.cuda.device_count() == len(portable["cuda"]):
            states["cuda"] = [torch.from_numpy(state.copy()) for state in portable["cuda"]]
    tensorflow = portable.get("tensorflow")
    if tensorflow is not None and tensorflow["state"] is not None:
        # TensorFlow's generator is one of Python, which it makes when it is seeded.
        states["tensorflow"] = (tensorflow["seed"], random.Random(), _python_state(tensorflow["state"]))
    elif tensorflow is not None:
        states["tensorflow"] = (tensorflow["seed"], None, None)
    set_random_states(states)
    set_global_seed(portable["keras seed"])
    if portable["keras"] is None:
        set_global_seed_generator(None)
        return
    if global_seed_generator() is None:
        set_global_seed_generator(keras.random.SeedGenerator(0))
    generator = global_seed_generator()
    assert generator is not None
    generator.state.assign(portable["keras"])


def _python_state(state: Sequence[Any]) -> tuple[Any, ...]:
    version, numbers, gauss = state
    return version, tuple(numbers), gauss


def _tensorflow_context() -> Context:
    from tensorflow.python.eager import context

    return context.context()
