"""Models and data with one fault each, and healthy ones that look faulty, for the tests of `check`."""

import keras
import numpy as np

ROWS, FEATURES, CLASSES = 160, 6, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, FEATURES)).astype("float32")
LABELS = (X @ RNG.normal(size=(FEATURES, CLASSES))).argmax(axis=1)
NUMBERS = (X[:, :1] + 0.1 * RNG.normal(size=(ROWS, 1))).astype("float32")
PIXELS = RNG.integers(0, 256, (ROWS, 4, 4, 1)).astype("uint8")
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
Dense, Input = keras.layers.Dense, keras.layers.Input


def network(*layers, loss="mse", units=1, shape=(FEATURES,), activation=None, optimizer=None):
    """Return a compiled model with these layers first."""
    model = keras.Sequential([Input(shape), *layers, Dense(units, activation)])
    model.compile(optimizer or keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


def classifier(loss=LOGITS, activation=None, *layers, **arguments):
    """Return a compiled classifier of the features."""
    return network(*(layers or (Dense(8, "relu"),)), loss=loss, units=CLASSES, activation=activation, **arguments)


class OwnLoss(keras.losses.Loss):
    """The mean squared error, without Keras' care for the shapes."""

    def call(self, y_true, y_pred):
        return keras.ops.mean((keras.ops.cast(y_true, y_pred.dtype) - y_pred) ** 2, axis=-1)


class Own(keras.Model):
    """A model of the user's class."""

    def __init__(self, *layers):
        super().__init__()
        self.stack = list(layers)

    def call(self, x):
        for layer in self.stack:
            x = layer(x)
        return x


class Stopped(keras.layers.Layer):
    """A layer through which no gradient goes."""

    def call(self, x):
        return keras.ops.stop_gradient(x)


class Scaled(keras.layers.Layer):
    """A layer that multiplies with a weight that is 0 at first, as in ReZero."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(), initializer="zeros")

    def call(self, x):
        return self.factor * x


def with_column(values):
    """Return the features with other values in the second column."""
    changed = X.copy()
    changed[:, 1] = values
    return changed


def frozen():
    """Return a model whose layers are all frozen."""
    model = network()
    for layer in model.layers:
        layer.trainable = False
    model.compile("sgd", "mse")
    return model


def own(loss, *layers):
    """Return a compiled model of the user's class."""
    model = Own(*layers)
    model.compile("sgd", loss)
    return model


def two_heads(losses, *, weights=None, shared=False, output_names=("a", "b")):
    """Return a model with the outputs `a` (classes) and `b` (numbers), compiled with these losses."""
    x = Input((FEATURES,))
    hidden = Dense(8, "relu")(x)
    outputs = {name: Dense(units, name=name)(hidden) for name, units in zip(output_names, (CLASSES, 1), strict=True)}
    model = keras.Model(x, outputs if isinstance(losses, dict) else list(outputs.values()))
    model.compile("sgd", losses, loss_weights=weights)
    return model


def embedding_model():
    """Return a model of tokens."""
    layers = [keras.layers.Embedding(50, 4), keras.layers.GlobalAveragePooling1D()]
    return network(*layers, loss=LOGITS, units=CLASSES, shape=(7,))


def tokens():
    """Return sequences that begin with the same token and end with padding."""
    found = RNG.integers(2, 50, (ROWS, 7))
    found[:, 0], found[:, 5:] = 1, 0
    return found


def padded():
    """Return sequences of three features, padded with zeros at the end."""
    found = RNG.normal(size=(ROWS, 8, 3)).astype("float32")
    found[:, 6:] = 0
    return found


def standardized_digits():
    """Return the digits with each pixel standardized, of which some never vary."""
    pixels = __import__("sklearn.datasets").datasets.load_digits().data
    return (((pixels - pixels.mean(axis=0)) / np.maximum(pixels.std(axis=0), 1e-6)).astype("float32"))[:ROWS]


def relu_dead():
    """Return a model whose second layer is always off."""
    return classifier(LOGITS, None, Dense(8, "relu"), Dense(8, "relu", bias_initializer=constant(-1e4)))


def constant(value):
    """Return an initializer."""
    return keras.initializers.Constant(value)


def batch_normalized(*layers, shape=(FEATURES,)):
    """Return a model with BatchNormalization after these layers."""
    return network(*layers, keras.layers.BatchNormalization(), keras.layers.Flatten(), shape=shape)


def with_sigmoid(from_logits):
    """Return a binary classifier with a sigmoid."""
    return network(
        Dense(8, "relu"), activation="sigmoid", loss=keras.losses.BinaryCrossentropy(from_logits=from_logits)
    )


def with_added_loss():
    """Return a model whose only loss is that of `add_loss`."""

    class Adds(keras.layers.Layer):
        def call(self, x):
            self.add_loss(keras.ops.mean(x**2))
            return x

    return network(Dense(3), Adds(), loss=None)


def residual():
    """Return a model with a branch that is multiplied with 0 at first, and a last layer of zeros."""
    x = Input((FEATURES,))
    branch = Scaled()(Dense(FEATURES)(Dense(8, "relu")(x)))
    model = keras.Model(x, Dense(1, kernel_initializer="zeros")(keras.layers.Add()([x, branch])))
    model.compile("sgd", "mse")
    return model


def with_own_step():
    """Return a model with a training step of the user's, whose outputs no loss sees."""

    class Steps(keras.Model):
        def train_step(self, *arguments):
            return super().train_step(*arguments)

    x = Input((FEATURES,))
    model = Steps(x, Dense(1)(Stopped()(Dense(4)(x))))
    model.compile("sgd", "mse")
    return model


BINARY = (LABELS == 0).astype("float32")
ONE_HOT = np.eye(CLASSES, dtype="float32")[LABELS]
ORDER = np.argsort(LABELS, kind="stable")

# Name of the finding, model, x, y, and arguments.
FAULTS = {
    "frozen": ("no trainable weights", frozen, X, NUMBERS, {}),
    "NaN": ("bad values", network, with_column(np.where(X[:, 0] > 2, np.nan, 1)), NUMBERS, {}),
    "infinite targets": ("bad values", network, X, np.where(NUMBERS > 2, np.inf, NUMBERS), {}),
    "labels from 1": ("labels out of range", classifier, X, LABELS + 1, {}),
    "negative labels": ("labels out of range", classifier, X, LABELS - 1, {}),
    "labels in halves": ("labels out of range", classifier, X, LABELS / 2, {}),
    "labels of one of two outputs": (
        "labels out of range", lambda: two_heads({"a": LOGITS, "b": "mse"}), X, {"a": LABELS + 3, "b": NUMBERS}, {}),
    "binary labels of 255": ("labels out of range", lambda: with_sigmoid(False), X, 255 * BINARY, {}),
    "hinge on class numbers": ("labels out of range", lambda: network(loss="hinge"), X, LABELS, {}),
    "negative counts": ("labels out of range", lambda: network(loss="poisson", activation="exponential"), X, NUMBERS,
                        {}),
    "softmax as logits": ("probabilities as logits", lambda: classifier(LOGITS, "softmax"), X, LABELS, {}),
    "softmax layer as logits": (
        "probabilities as logits", lambda: own(LOGITS, Dense(CLASSES), keras.layers.Softmax()), X, LABELS, {}),
    "sigmoid as logits": ("probabilities as logits", lambda: with_sigmoid(True), X, BINARY, {}),
    "logits as softmax": (
        "logits as probabilities", lambda: classifier("sparse_categorical_crossentropy"), X, LABELS, {}),
    "logits as softmax, by function": (
        "logits as probabilities", lambda: classifier(keras.losses.categorical_crossentropy), X, ONE_HOT, {}),
    "logits as sigmoid": ("logits as probabilities", lambda: network(loss="binary_crossentropy"), X, BINARY, {}),
    "one column for three": ("shapes that broadcast", lambda: network(units=3), X, NUMBERS, {}),
    "three columns for one": ("shapes that broadcast", lambda: network(loss="mae"), X, X[:, :3], {}),
    "whole sequences for one number": (
        "shapes that broadcast", lambda: network(keras.layers.Dense(4), shape=(8, 3)), padded(), NUMBERS, {}),
    "a loss of the user's": ("shapes that broadcast", lambda: network(loss=OwnLoss()), X, NUMBERS[:, 0], {}),
    "dead ReLU": ("no gradient", relu_dead, X, LABELS, {}),
    "stopped gradient": ("no gradient", lambda: network(Dense(4), Stopped()), X, NUMBERS, {}),
    "saturated sigmoid": (
        "no gradient", lambda: network(Dense(4, "sigmoid", bias_initializer=constant(1e4))), X, NUMBERS, {}),
    "raw pixels": ("unscaled inputs", lambda: network(keras.layers.Flatten(), shape=(4, 4, 1)), PIXELS, NUMBERS, {}),
    "column of zeros": ("constant features", network, with_column(0), NUMBERS, {}),
    "column of fives": ("constant features", network, with_column(5), NUMBERS, {}),
    "zeros": ("constant inputs", network, 0 * X, NUMBERS, {}),
    "last row alone": ("batch of one row", batch_normalized, X[:97], NUMBERS[:97], {"batch_size": 32}),
    "every row alone": ("batch of one row", batch_normalized, X, NUMBERS, {"batch_size": 1}),
    "sorted and not shuffled": ("sorted data", classifier, X[ORDER], LABELS[ORDER], {"shuffle": False}),
}  # fmt: skip
HEALTHY = {
    "regression": (network, X, NUMBERS, {}),
    "regression on (n,)": (network, X, NUMBERS[:, 0], {}),
    "class labels for regression": (network, X, LABELS, {}),
    "classes": (classifier, X, LABELS, {}),
    "classes as a column": (classifier, X, LABELS[:, None], {}),
    "probabilities": (lambda: classifier("sparse_categorical_crossentropy", "softmax"), X, LABELS, {}),
    "softmax layer": (lambda: own("categorical_crossentropy", Dense(CLASSES), keras.layers.Softmax()), X, ONE_HOT, {}),
    "softmax with a squared error": (lambda: classifier("mse", "softmax"), X, ONE_HOT, {}),
    "sigmoid": (lambda: with_sigmoid(False), X, BINARY, {}),
    "hinge on 0 and 1": (lambda: network(loss="hinge"), X, BINARY, {}),
    "function of the user's": (
        lambda: network(loss=lambda y, p: keras.ops.mean((y - p) ** 2, axis=-1)), X, NUMBERS[:, 0], {}),
    "loss of the user's": (lambda: network(loss=OwnLoss()), X, NUMBERS, {}),
    "ignored class": (
        lambda: classifier(keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)),
        X, np.where(LABELS == 1, -1, LABELS), {}),
    "two outputs": (lambda: two_heads({"a": LOGITS, "b": "mse"}), X, {"a": LABELS, "b": NUMBERS}, {}),
    "two outputs in a list": (lambda: two_heads([LOGITS, "mae"], weights=[1.0, 0.5]), X, [LABELS, NUMBERS], {}),
    "an output without a loss": (lambda: two_heads([LOGITS, None]), X, [LABELS, NUMBERS], {}),
    "an output of weight 0": (lambda: two_heads([LOGITS, "mse"], weights=[1.0, 0.0]), X, [LABELS, NUMBERS], {}),
    "losses of add_loss": (with_added_loss, X, None, {}),
    "step of the user's": (with_own_step, X, NUMBERS, {}),
    "branch of zeros": (residual, X, NUMBERS, {}),
    "rescaled pixels": (
        lambda: network(keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), shape=(4, 4, 1)), PIXELS, NUMBERS, {}),
    "absent category": (network, np.eye(FEATURES, dtype="float32")[LABELS], NUMBERS, {}),
    "tokens": (embedding_model, tokens(), LABELS, {}),
    "padded": (lambda: network(keras.layers.GRU(4), shape=(8, 3)), padded(), NUMBERS, {}),
    "padded, as features": (lambda: network(shape=(24,)), padded().reshape(ROWS, 24), NUMBERS, {}),
    "digits, standardized": (lambda: network(shape=(64,)), standardized_digits(), NUMBERS, {}),
    "one image alone": (
        lambda: batch_normalized(keras.layers.Rescaling(1 / 255), shape=(4, 4, 1)), PIXELS[:97], NUMBERS[:97],
        {"batch_size": 32}),
    "sorted and shuffled": (classifier, X[ORDER], LABELS[ORDER], {}),
    "weights": (network, X, NUMBERS, {"sample_weight": BINARY}),
    "class weights": (classifier, X, LABELS, {"class_weight": {0: 2.0, 1: 1.0, 2: 1.0, 3: 0.0}}),
}  # fmt: skip
