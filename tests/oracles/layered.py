"""An oracle of rates of layers: each weight has an oracle of its own, with its own learning rate."""

from oracles.optimizers import make


class Layered:
    """One oracle of an optimizer for each weight. Each reads a learning rate times the factor of its weight.

    Args:
        name: The name of the optimizer's class.
        config: The arguments of that optimizer, its `learning_rate` among them.
        factors: The factor of each weight. A weight with factor 0 is left as it is.
    """

    def __init__(self, name, config, factors):
        self.factors = factors
        self.learning_rate = config["learning_rate"]
        self.oracles = [make(name, **config) for _ in factors]

    @property
    def margin(self):
        return min(getattr(oracle, "margin", 1.0) for oracle in self.oracles)

    def step(self, weights, gradients, learning_rate=None, momentum=None, weight_decay=None):
        """Return the weights after one update (or micro-batch)."""
        rate = self.learning_rate if learning_rate is None else learning_rate
        return [
            oracle.step([weight], [gradient], rate * factor, momentum, weight_decay)[0] if factor else weight
            for oracle, factor, weight, gradient in zip(self.oracles, self.factors, weights, gradients, strict=True)
        ]
