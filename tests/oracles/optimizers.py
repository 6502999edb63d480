"""Slow, literal float64 versions of Keras 3's optimizers, whose hyperparameters may change every step.

They are made to be easily checked, not to be fast: each rule is written as in `keras/src/optimizers/*.py`, in plain
NumPy, one weight at a time. Nothing here imports keras.

    oracle = make("Adam", learning_rate=0.01, beta_1=0.9)
    weights = oracle.step(weights, gradients, learning_rate=0.02, momentum=0.85)

`make` takes Keras' argument names, so one dictionary makes both the optimizer and its oracle.
"""

from abc import ABC, abstractmethod

import numpy as np


def make(name, *, gradient_accumulation_steps=None, **config):
    """Return the oracle of the Keras optimizer class called `name` ("SGD", "AdamW", ...).

    Args:
        name: The name of the class in `keras.optimizers`.
        gradient_accumulation_steps: An integer k; the oracle then needs one call of `step` per micro-batch.
        **config: The arguments of that optimizer, with Keras' names and defaults.
    """
    oracle = ORACLES[name](**config)
    if gradient_accumulation_steps:
        return Accumulated(oracle, gradient_accumulation_steps)
    return oracle


class Oracle(ABC):
    """One optimizer: its state and its update rule.

    `momentum` is what the optimizer calls momentum or beta_1.
    """

    def __init__(self, learning_rate, momentum, weight_decay):
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.t = 0
        self._state = {}

    def step(self, weights, gradients, learning_rate=None, momentum=None, weight_decay=None):
        """Return the weights after one update. A hyperparameter that is None has its configured value."""
        self.t += 1
        rate = self.learning_rate if learning_rate is None else learning_rate
        self._begin_step(momentum)
        updated = []
        for index, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            weight = np.asarray(weight, dtype=np.float64)
            gradient = np.asarray(gradient, dtype=np.float64)
            decay = self._decay_of(weight) if weight_decay is None else weight_decay
            # Keras decays first, by the rate times the decay; the gradient is that of the undecayed weight.
            weight = weight - weight * (decay or 0.0) * rate
            updated.append(self._update(index, weight, gradient, rate))
        return updated

    def _begin_step(self, momentum):
        """Do what happens once per step, before any weight is updated."""
        self._beta = self.momentum if momentum is None else momentum

    def _decay_of(self, weight):
        return self.weight_decay

    @abstractmethod
    def _update(self, index, weight, gradient, rate):
        """Return the decayed `weight` after its update. Its state is stored under `index`."""

    def _old(self, name, index, like):
        return self._state.get((name, index), np.zeros_like(like))

    def _store(self, name, index, value):
        self._state[name, index] = value
        return value


class SGD(Oracle):
    """Velocity v = momentum·v - rate·g; the weight moves by v, or under Nesterov by momentum·v - rate·g."""

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=None):
        super().__init__(learning_rate, momentum, weight_decay)
        self.nesterov = nesterov

    def _update(self, index, weight, gradient, rate):
        velocity = self._store("v", index, self._beta * self._old("v", index, weight) - rate * gradient)
        if self.nesterov:
            return weight + self._beta * velocity - rate * gradient
        return weight + velocity


class RMSprop(Oracle):
    """The gradient over the root of its running mean square (or variance); momentum sums the quotients."""

    def __init__(self, learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False, weight_decay=None):
        super().__init__(learning_rate, momentum, weight_decay)
        self.rho = rho
        self.epsilon = epsilon
        self.centered = centered

    def _update(self, index, weight, gradient, rate):
        rho = self.rho
        square = self._store("v", index, rho * self._old("v", index, weight) + (1 - rho) * gradient**2)
        variance = square
        if self.centered:
            mean = self._store("a", index, rho * self._old("a", index, weight) + (1 - rho) * gradient)
            variance = square - mean**2
        # Here epsilon is inside the root.
        increment = rate * gradient / np.sqrt(variance + self.epsilon)
        return weight - self._store("m", index, self._beta * self._old("m", index, weight) + increment)


class BiasCorrected(Oracle):
    """An optimizer whose running mean of gradients is divided by one minus the current beta_1 to the power t."""

    def __init__(self, learning_rate, beta_1, beta_2, epsilon, weight_decay):
        super().__init__(learning_rate, beta_1, weight_decay)
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def _begin_step(self, momentum):
        super()._begin_step(momentum)
        self._total = 1 - self._beta**self.t

    def _means(self, index, gradient, beta_1):
        mean = self._store("m", index, beta_1 * self._old("m", index, gradient) + (1 - beta_1) * gradient)
        square = self._old("v", index, gradient)
        return mean, self._store("v", index, self.beta_2 * square + (1 - self.beta_2) * gradient**2)

    def _adam(self, index, weight, gradient, rate, beta_1):
        mean, square = self._means(index, gradient, beta_1)
        alpha = rate * np.sqrt(1 - self.beta_2**self.t) / self._total
        # Epsilon is added to the uncorrected root ("epsilon hat" in section 2 of the article).
        return weight - alpha * mean / (np.sqrt(square) + self.epsilon)


class Adam(BiasCorrected):
    """Adam without amsgrad."""

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        weight_decay=None,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay)

    def _update(self, index, weight, gradient, rate):
        return self._adam(index, weight, gradient, rate, self._beta)


class AdamW(BiasCorrected):
    """Adam with weight decay by default."""

    def __init__(
        self,
        learning_rate=0.001,
        weight_decay=0.004,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay)

    def _update(self, index, weight, gradient, rate):
        return self._adam(index, weight, gradient, rate, self._beta)


class Adamax(BiasCorrected):
    """Adam with a decaying maximum of |g| in place of the root; only the mean is corrected."""

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        weight_decay=None,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay)

    def _update(self, index, weight, gradient, rate):
        beta_1 = self._beta
        mean = self._store("m", index, beta_1 * self._old("m", index, weight) + (1 - beta_1) * gradient)
        decayed = self.beta_2 * self._old("u", index, weight)
        norm = self._store("u", index, np.maximum(decayed, np.abs(gradient)))
        return weight - rate * mean / (self._total * (norm + self.epsilon))


class Lamb(BiasCorrected):
    """Adam's direction, scaled to the length of the (decayed) weight, times the rate."""

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        weight_decay=None,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay)

    def _update(self, index, weight, gradient, rate):
        mean, square = self._means(index, gradient, self._beta)
        root = np.sqrt(square / (1 - self.beta_2**self.t))
        direction = (mean / self._total) / (root + self.epsilon)
        weight_norm = np.sqrt(np.sum(weight**2))
        direction_norm = np.sqrt(np.sum(direction**2))
        ratio = weight_norm / direction_norm if weight_norm > 0 and direction_norm > 0 else 1.0
        return weight - ratio * rate * direction


class Nadam(Oracle):
    """Nesterov's Adam: beta_1 is warmed up, u_t = beta_1·(1 - 0.96ᵗ/2), corrected by the product of the u's.

    As in Keras, the look-ahead u_{t+1} is computed from the *current* beta_1.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=None):
        super().__init__(learning_rate, beta_1, weight_decay)
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self._product = 1.0

    def _begin_step(self, momentum):
        super()._begin_step(momentum)
        self._u = self._beta * (1 - 0.5 * 0.96**self.t)
        self._next_u = self._beta * (1 - 0.5 * 0.96 ** (self.t + 1))
        self._product *= self._u

    def _update(self, index, weight, gradient, rate):
        beta_1, beta_2 = self._beta, self.beta_2
        mean = self._store("m", index, beta_1 * self._old("m", index, weight) + (1 - beta_1) * gradient)
        square = self._store("v", index, beta_2 * self._old("v", index, weight) + (1 - beta_2) * gradient**2)
        ahead = self._next_u * mean / (1 - self._product * self._next_u)
        now = (1 - self._u) * gradient / (1 - self._product)
        root = np.sqrt(square / (1 - beta_2**self.t))
        return weight - rate * (ahead + now) / (root + self.epsilon)


class Lion(Oracle):
    """Every weight moves by exactly the rate, in the direction of the sign of a blend of momentum and gradient.

    `margin` is the smallest |blend| so far. An implementation in float32 can agree only while its rounding errors are
    smaller.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.99, weight_decay=None):
        super().__init__(learning_rate, beta_1, weight_decay)
        self.beta_2 = beta_2
        self.margin = np.inf

    def _update(self, index, weight, gradient, rate):
        mean = self._old("m", index, weight)
        blend = self._beta * mean + (1 - self._beta) * gradient
        self.margin = min(self.margin, np.abs(blend).min())
        self._store("m", index, self.beta_2 * mean + (1 - self.beta_2) * gradient)
        return weight - rate * np.sign(blend)


class Muon(BiasCorrected):
    """Orthogonalised momentum for matrices, Adam for the rest, each with its own weight decay.

    A `momentum` or `weight_decay` passed to `step` applies to both branches. Every weight of two dimensions is a
    matrix: embeddings and excluded layers, for which Keras uses Adam too, are not supported.
    """

    def __init__(
        self,
        learning_rate=0.001,
        adam_beta_1=0.9,
        adam_beta_2=0.999,
        adam_weight_decay=0.004,
        epsilon=1e-7,
        weight_decay=0.004,
        muon_a=3.4445,
        muon_b=-4.7750,
        muon_c=2.0315,
        adam_lr_ratio=1,
        momentum=0.95,
        ns_steps=5,
        nesterov=True,
        rms_rate=0.2,
    ):
        super().__init__(learning_rate, momentum, adam_beta_2, epsilon, weight_decay)
        self.adam_beta_1 = adam_beta_1
        self.adam_weight_decay = adam_weight_decay
        self.coefficients = (muon_a, muon_b, muon_c)
        self.adam_lr_ratio = adam_lr_ratio
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate

    def _begin_step(self, momentum):
        self._beta = self.momentum if momentum is None else momentum
        self._adam_beta = self.adam_beta_1 if momentum is None else momentum
        self._total = 1 - self._adam_beta**self.t

    def _decay_of(self, weight):
        # Both are multiplied by the rate without adam_lr_ratio.
        return self.weight_decay if weight.ndim == 2 else self.adam_weight_decay

    def _update(self, index, weight, gradient, rate):
        if weight.ndim != 2:
            return self._adam(index, weight, gradient, rate * self.adam_lr_ratio, self._adam_beta)
        # This momentum is a sum, not a mean, so the gradient has no factor.
        momentum = self._store("m", index, self._beta * self._old("m", index, weight) + gradient)
        direction = gradient + self._beta * momentum if self.nesterov else momentum
        update = rate * newton_schulz(direction, self.ns_steps, *self.coefficients)
        if self.rms_rate is not None:
            update = update * np.sqrt(max(weight.shape)) * self.rms_rate
        return weight - update


def newton_schulz(matrix, steps, a, b, c):
    """Move the singular values towards one by `steps` iterations of x ← a·x + (b·xxᵀ + c·(xxᵀ)²)·x."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (np.sqrt(np.sum(x**2)) + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Accumulated:
    """Any oracle under `gradient_accumulation_steps=k`: it averages k gradients and updates at every k-th call.

    The hyperparameters of an update are those of the call for the k-th micro-batch, because in Keras a schedule counts
    micro-batches. Adam's t counts updates.
    """

    def __init__(self, oracle, steps):
        self.oracle = oracle
        self.steps = steps
        self.micro_batches = 0
        self._sums = None

    def step(self, weights, gradients, learning_rate=None, momentum=None, weight_decay=None):
        """Return the weights after one micro-batch; only every k-th changes them."""
        self.micro_batches += 1
        gradients = [np.asarray(gradient, dtype=np.float64) for gradient in gradients]
        if self._sums is not None:
            gradients = [total + gradient for total, gradient in zip(self._sums, gradients, strict=True)]
        if self.micro_batches % self.steps:
            self._sums = gradients
            return [np.asarray(weight, dtype=np.float64) for weight in weights]
        self._sums = None
        means = [total / self.steps for total in gradients]
        return self.oracle.step(weights, means, learning_rate, momentum, weight_decay)


ORACLES = {oracle.__name__: oracle for oracle in (SGD, RMSprop, Adam, AdamW, Adamax, Lamb, Nadam, Lion, Muon)}
