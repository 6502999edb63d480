"""The small network trained with a cycle: by the callback, and by schedules installed directly."""

import keras

from onecycle import OneCycle, schedule_hyperparameters
from oracles import networks

STEPS, EPOCHS = 5, 3
T = STEPS * EPOCHS
X, Y = networks.stacked(networks.batches(1, STEPS))
OPTIMIZERS = {
    "SGD": {"learning_rate": 0.02, "momentum": 0.9},
    "Adam": {"learning_rate": 0.01},
    "AdamW": {"learning_rate": 0.01, "weight_decay": 0.05},
}


def compiled(optimizer="SGD", **options):
    """Return the network with fixed weights, compiled with an optimizer or with the one of that name above."""
    model = networks.keras_model(0)
    if isinstance(optimizer, str):
        optimizer = getattr(keras.optimizers, optimizer)(**OPTIMIZERS[optimizer])
    model.compile(optimizer, "mse", **options)
    return model


def fit(model, *callbacks, x=X, y=Y, epochs=EPOCHS, **arguments):
    """Fit without output and in a fixed order, by default on arrays of STEPS batches."""
    if y is not None:
        arguments["batch_size"] = networks.BATCH_SIZE
    return model.fit(x, y, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks), **arguments)


def scheduled(model, peak=0.1, steps=T, start=0):
    """Install the cycle without the callback."""
    cycle = OneCycle(peak, steps, start_step=start)
    return schedule_hyperparameters(model, learning_rate=cycle, momentum=cycle.momentum())


def weight_distance(first, second):
    """Return the largest difference between the weights of two models."""
    return networks.distance(first.get_weights(), second.get_weights())
