"""Training with one cycle: its specification, `fit_one_cycle` and the callback. Finding the peak belongs to `finding`."""
