"""Find a learning rate on handwritten digits and train with it: python examples/first_run.py"""

import keras
from sklearn.datasets import load_digits

import onecycle

images, labels = load_digits(return_X_y=True)
x = (images - images.mean()) / images.std()

model = keras.Sequential(
    [
        keras.Input((64,)),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(keras.optimizers.SGD(momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])

result = onecycle.find_learning_rate(model, x, labels, seed=0)
print(result.summary())

onecycle.fit_one_cycle(
    model,
    x[:1400],
    labels[:1400],
    epochs=10,
    max_learning_rate=result.learning_rate,
    validation_data=(x[1400:], labels[1400:]),
)
