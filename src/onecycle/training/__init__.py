"""Training with one cycle: the specification, `fit_one_cycle`, the callback. Finding the peak belongs to `finding`."""
