"""The run on the lowest Keras really is on it."""

import os

import keras
import pytest


@pytest.mark.lower_bound
def test_keras_is_the_one_asked_for():
    """`make test-lower-bound` names a version in ONECYCLE_KERAS, and that one is imported."""
    assert keras.__version__ == os.environ.get("ONECYCLE_KERAS", keras.__version__)
