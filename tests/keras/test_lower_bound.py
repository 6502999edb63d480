"""A test that `make test-lower-bound` runs with the lowest supported Keras."""

import os

import keras
import pytest


@pytest.mark.lower_bound
def test_keras_version_is_the_requested_one():
    """The imported Keras is the version in ONECYCLE_KERAS, which `make test-lower-bound` sets."""
    assert keras.__version__ == os.environ.get("ONECYCLE_KERAS", keras.__version__)
