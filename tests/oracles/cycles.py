"""The small network trained with a cycle: by the callback, and by schedules put in by hand."""

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
    """Return the network, always with the same weights, compiled with an optimizer or the one of that name above."""
    model = networks.keras_model(0)
    if isinstance(optimizer, str):
        optimizer = getattr(keras.optimizers, optimizer)(**OPTIMIZERS[optimizer])
    model.compile(optimizer, "mse", **options)
    return model


def fit(model, *callbacks, x=X, y=Y, epochs=EPOCHS, **arguments):
    """Fit in silence and in a fixed order, by default on arrays of STEPS batches."""
    if y is not None:
        arguments["batch_size"] = networks.BATCH_SIZE
    return model.fit(x, y, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks), **arguments)


def scheduled(model, peak=0.1, steps=T, start=0):
    """Put the cycle in by hand."""
    cycle = OneCycle(peak, steps, start_step=start)
    return schedule_hyperparameters(model, learning_rate=cycle, momentum=cycle.momentum())


def apart(first, second):
    """Return the largest difference between the weights of two models."""
    return networks.distance(first.get_weights(), second.get_weights())
