"""Batch size advices for plots and reports: a usual one, and those that cannot tell."""

import numpy as np

from onecycle.results import BatchSizeAdvice


def advice(noise_scale=200.0, interval=(150.0, 260.0), sizes=(8, 16, 32, 64, 128, 256), scaling="linear"):
    """Return an advice with steps that take 1 ms and a little for each row."""
    return BatchSizeAdvice(
        batch_sizes=np.array(sizes), step_seconds=1e-3 * (1 + np.array(sizes) / 64), noise_scale=noise_scale,
        interval=interval, current_batch_size=32, scaling=scaling, training_steps=100, micro_batches=64,
        micro_batch_size=32, seed=0, config={"optimizer": "SGD", "backend": "jax"}, versions={"keras": "3.15.1"},
    )  # fmt: skip


BATCH_SIZES = {
    "pretty": advice(),
    "wide": advice(200.0, (20.0, 900.0)),
    "unbounded": advice(np.inf, (90.0, np.inf)),
    "no noise": advice(0.0, (0.0, 0.0)),
    "one size": advice(sizes=(32,), scaling="square root"),
}
