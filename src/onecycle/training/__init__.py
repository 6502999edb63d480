"""Training with one cycle: specification, `fit_one_cycle`, callback. The search for a peak is in `finding`."""
