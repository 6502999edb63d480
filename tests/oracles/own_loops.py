"""Training loops as users of each backend write them, around a Keras model and a Keras optimizer."""

import keras

LOSS = keras.losses.MeanSquaredError()


def own_step(model, optimizer):
    """Return the training step of an own loop on this backend.

    Args:
        model: A model with weights, which needs no `compile`.
        optimizer: The optimizer. The step builds it.

    Returns:
        A function `(x, y, learning_rate=None) -> loss`, which sets the learning rate before the step if one is given.
        Its `finish()` writes the weights into the model, where that is not done in each step.
    """
    return _STEPS[keras.backend.backend()](model, optimizer)


def _tensorflow(model, optimizer):
    """A step with a GradientTape in a `tf.function`."""
    import tensorflow as tf

    @tf.function
    def compiled(x, y):
        with tf.GradientTape() as tape:
            loss = LOSS(y, model(x, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    optimizer.build(model.trainable_variables)
    return _with_assigned_rate(compiled, optimizer)


def _torch(model, optimizer):
    """A step with PyTorch's backward pass, as a loop around a `torch.nn.Module` has it."""
    import torch

    variables = model.trainable_variables

    def step(x, y):
        loss = LOSS(keras.ops.convert_to_tensor(y), model(x, training=True))
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            optimizer.apply([variable.value.grad for variable in variables], variables)
        return loss

    optimizer.build(variables)
    return _with_assigned_rate(step, optimizer)


def _with_assigned_rate(step, optimizer):
    def with_rate(x, y, learning_rate=None):
        if learning_rate is not None:
            optimizer.learning_rate = learning_rate
        return step(x, y)

    with_rate.finish = lambda: None
    return with_rate


def _jax(model, optimizer):
    """A stateless step, compiled by `jax.jit`, whose state is in the loop."""
    import jax

    optimizer.build(model.trainable_variables)
    place = [variable is optimizer.learning_rate for variable in optimizer.variables]

    def loss_of(trainable, non_trainable, x, y):
        predicted, non_trainable = model.stateless_call(trainable, non_trainable, x, training=True)
        return LOSS(y, predicted), non_trainable

    @jax.jit
    def compiled(state, x, y):
        trainable, non_trainable, kept = state
        (loss, non_trainable), grads = jax.value_and_grad(loss_of, has_aux=True)(trainable, non_trainable, x, y)
        trainable, kept = optimizer.stateless_apply(kept, grads, trainable)
        return loss, (trainable, non_trainable, kept)

    def values(variables):
        return [variable.value for variable in variables]

    state = (values(model.trainable_variables), values(model.non_trainable_variables), values(optimizer.variables))

    def step(x, y, learning_rate=None):
        nonlocal state
        if learning_rate is not None:
            state[2][place.index(True)] = jax.numpy.float32(learning_rate)
        loss, state = compiled(state, x, y)
        return loss

    def finish():
        variables = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
        for group, arrays in zip(variables, state, strict=True):
            for variable, value in zip(group, arrays, strict=True):
                variable.assign(value)

    step.finish = finish
    return step


_STEPS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
