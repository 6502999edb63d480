"""What the tests that train share. They run once for each backend, chosen by KERAS_BACKEND."""

import keras
import pytest


@pytest.fixture(scope="session")
def backend():
    """The name of the Keras backend under test."""
    return keras.backend.backend()


@pytest.fixture(autouse=True)
def _seeded():
    """Every test draws the same random numbers, whichever ran before it."""
    keras.utils.set_random_seed(0)
