"""The small network with a custom `train_step`, whose optimizers do not make one step per batch."""

import keras

from oracles import networks


def model_with_own_step(used, others=None):
    """Return the compiled network, whose `train_step` makes one step of each optimizer in a list.

    Args:
        used: Returns the list from the model.
        others: Attributes of the model: name -> another optimizer.
    """
    plain = networks.keras_model(0)
    model = _CLASSES[keras.backend.backend()](plain.inputs, plain.outputs)
    for name, optimizer in (others or {}).items():
        setattr(model, name, optimizer)
        optimizer.build(model.trainable_variables)
    model.used = used
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), "mse")
    return model


class OnTensorFlow(keras.Model):
    def train_step(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((self(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, self.trainable_variables)
        for optimizer in self.used(self):
            optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


class OnJax(keras.Model):
    def train_step(self, state, data):
        import jax

        trainable, non_trainable, ours, metrics = state
        x, y = data

        def loss_of(trainable):
            return keras.ops.mean((self.stateless_call(trainable, non_trainable, x)[0] - y) ** 2)

        loss, gradients = jax.value_and_grad(loss_of)(trainable)
        for optimizer in self.used(self):
            if optimizer is self.optimizer:
                trainable, ours = optimizer.stateless_apply(ours, gradients, trainable)
            else:  # its state is not kept
                values = [variable.value for variable in optimizer.variables]
                trainable, _ = optimizer.stateless_apply(values, gradients, trainable)
        return {"loss": loss}, (trainable, non_trainable, ours, metrics)


class OnTorch(keras.Model):
    def train_step(self, data):
        import torch

        x, y = data
        self.zero_grad()
        loss = keras.ops.mean((self(x, training=True) - y) ** 2)
        loss.backward()
        with torch.no_grad():
            gradients = [variable.value.grad for variable in self.trainable_variables]
            for optimizer in self.used(self):
                optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


_CLASSES = {"tensorflow": OnTensorFlow, "jax": OnJax, "torch": OnTorch}
