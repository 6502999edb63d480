"""Small linear models for tests of the kinds of data."""

import keras


def dense(inputs=True):
    """Return a compiled linear model, with its weights or without."""
    model = keras.Sequential([*[keras.Input((4,))] * inputs, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


class Autoencoder(keras.Model):
    """A model that adds its loss in `call`."""

    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Dense(4)

    def call(self, x):
        """Return the reconstruction."""
        result = self.layer(x)
        self.add_loss(keras.ops.mean((result - x) ** 2))
        return result


def autoencoder(learning_rate=0.01):
    """Return an autoencoder that is compiled without a loss."""
    model = Autoencoder()
    model.compile(keras.optimizers.SGD(learning_rate))
    return model
