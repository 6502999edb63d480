"""A model and data for the command line:

    onecycle find examples/boston.py:make
    onecycle fit examples/boston.py:make --epochs 100

The data is downloaded by keras.datasets, or read from the folder in ONECYCLE_DATA.
"""

import keras

from onecycle.tasks import load_task


def make():
    """Return a compiled model, its inputs and its targets."""
    (x, y), _ = load_task("boston-housing").data
    model = keras.Sequential(
        [
            keras.Input((13,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(momentum=0.9), loss="mse", metrics=["mae"])
    return model, x, y
