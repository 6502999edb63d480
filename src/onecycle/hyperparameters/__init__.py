"""Learning rate, momentum and weight decay as functions of the step inside the compiled training step.

The shape and the length of a cycle are the concern of `training`.
"""
