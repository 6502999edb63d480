"""What onecycle needs of Keras that Keras does not offer publicly, all of it in one room.

Checked on Keras 3.15.1. `tests/keras/test_keras_internals*.py` fail when one of these names changes its meaning.
"""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np
from keras.src.backend.common import global_state

_GLOBAL_SEED_GENERATOR = "global_seed_generator"


_GLOBAL_SEED = "global_random_seed"


def global_seed_generator() -> Any:
    """Keras' global seed generator, or None while nothing has drawn from it."""
    return global_state.get_global_attribute(_GLOBAL_SEED_GENERATOR)


def set_global_seed_generator(generator: Any) -> None:
    """Put the generator of `global_seed_generator` back."""
    global_state.set_global_attribute(_GLOBAL_SEED_GENERATOR, generator)


def global_seed() -> Any:
    """What `keras.utils.set_random_seed` was last given, or None."""
    return global_state.get_global_attribute(_GLOBAL_SEED)


def set_global_seed(seed: Any) -> None:
    """Put the seed of `global_seed` back, without seeding anything."""
    global_state.set_global_attribute(_GLOBAL_SEED, seed)


def random_states() -> dict[str, Any]:
    """The states of the global random number generators that Keras' data pipelines and layers may draw from."""
    states: dict[str, Any] = {"python": random.getstate(), "numpy": np.random.get_state()}  # noqa: NPY002 - Keras draws from it
    if "torch" in sys.modules:
        import torch

        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state_all()
    if "tensorflow" in sys.modules:  # whichever the backend: `tf.data` shuffles by it
        context = _tensorflow_context()
        generator = getattr(context, "_rng", None)  # there only once something has been seeded or drawn
        states["tensorflow"] = (context._seed, generator, generator and generator.getstate())
    return states


def set_random_states(states: dict[str, Any]) -> None:
    """Put the generators of `random_states` back."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002 - Keras draws from it
    if "torch" in states:
        import torch

        torch.set_rng_state(states["torch"])
        if "cuda" in states:
            torch.cuda.set_rng_state_all(states["cuda"])
    if "tensorflow" in sys.modules:
        # Without a state TensorFlow was not loaded yet, and so not seeded.
        seed, generator, state = states.get("tensorflow", (None, None, None))
        context = _tensorflow_context()
        context._set_global_seed(seed)  # also drops kernels that would go on with the numbers they have begun
        context._rng = generator
        if generator is not None:
            generator.setstate(state)


def _tensorflow_context() -> Any:
    from tensorflow.python.eager import context

    return context.context()
