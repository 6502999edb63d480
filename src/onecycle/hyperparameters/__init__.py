"""Learning rate, momentum and weight decay as functions of the step inside the compiled training step.

What a cycle looks like and how long it is belongs to `training`.
"""
