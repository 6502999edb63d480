"""The launches of this study, fixed before the first of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ARMS = ("bare", "TerminateOnNaN", "clipnorm", "guard")
SEEDS = {"jax": 0, "tensorflow": 1, "torch": 2}  # of the launches on a backend, in the first round
ROUNDS = (1, 2)  # the second one with a changed guard
PAIRS = (
    ("boston-dense", "sgd"), ("boston-dense", "adamw"), ("fashion-dense", "sgd"), ("digits-dense-bn", "sgd"),
    ("digits-conv", "sgd"), ("digits-lstm", "adamw"), ("digits-attention", "adamw"),
)  # fmt: skip
# Besides the plain data: all rows in one batch or in two, and inputs that are not standardized.
VARIANTS = {
    ("boston-dense", "sgd"): ("big", "raw", "big raw"),
    ("fashion-dense", "sgd"): ("big",),
    ("digits-conv", "sgd"): ("raw",),
}


@dataclass(frozen=True)
class Launch:
    """One training in which something goes wrong.

    Attributes:
        backend: The backend.
        task: A task of `tasks.TASKS`.
        optimizer: A key of `tasks.OPTIMIZERS`.
        trouble: What goes wrong, the name of a group of launches.
        peak: Peak of the cycle, as a multiple of the best one of the plain task, or of its stable limit.
        of_limit: Whether the peak is a multiple of the stable limit.
        variant: "plain", "raw" inputs, "big" batches, or both.
        weight_decay: Of the optimizer; None for the one of the task.
        poison: What is in the bad batch or the bad row, or None.
        dtype: Policy of the network.
        seed: Of the weights and the order of the rows.
    """

    backend: str
    task: str
    optimizer: str
    trouble: str
    peak: float = 1.0
    of_limit: bool = False
    variant: str = "plain"
    weight_decay: float | None = None
    poison: str | None = None
    dtype: str = "float32"
    seed: int = 0

    @property
    def name(self) -> str:
        """The name of its records, without the arm."""
        more = [f"x{self.peak:g}", self.variant, self.poison, self.dtype, self.weight_decay]
        text = "_".join(str(one) for one in more if one not in (None, "plain", "float32"))
        return f"{self.trouble}/{self.task}_{self.optimizer}_{text}".replace(" ", "-")


def in_round(one: Launch, number: int) -> Launch:
    """Return a launch with the seed of a round."""
    return replace(one, seed=one.seed + 10 * (number - 1))


def folder_of(backend: str, number: int) -> str:
    """Return the name of the folder with the records of a backend and a round."""
    return backend if number == 1 else f"{backend}-{number}"


def launches() -> list[Launch]:
    """Return all launches of the first round, in the random order in which they are made."""
    found = [*on_jax(), *on_tensorflow(), *on_torch()]
    random.Random(0).shuffle(found)
    return found


def on_jax() -> Iterator[Launch]:
    for task, optimizer in PAIRS:
        for peak in (3, 10, 30):
            yield launch("jax", task, optimizer, "peak", peak=peak, of_limit=True)
    yield from big_batches("jax")
    yield from raw_inputs("jax")
    for decay in (1e-3, 1e-2, 1e-1):
        yield launch("jax", "boston-dense", "adamw", "weight-decay", weight_decay=decay, peak=3, of_limit=True)
        yield launch("jax", "digits-conv", "sgd", "weight-decay", weight_decay=decay, peak=3, of_limit=True)
    for poison in ("nan", "1e30", "wrong", "nan-row"):
        yield launch("jax", "boston-dense", "sgd", "poison", poison=poison)
        yield launch("jax", "digits-conv", "sgd", "poison", poison=poison)


def on_tensorflow() -> Iterator[Launch]:
    for task, optimizer in (PAIRS[0], PAIRS[3], PAIRS[5]):
        for peak in (3, 10, 30):
            yield launch("tensorflow", task, optimizer, "peak", peak=peak, of_limit=True)
    yield from big_batches("tensorflow")
    yield from raw_inputs("tensorflow")
    for poison in ("nan", "1e30", "wrong", "nan-row"):
        yield launch("tensorflow", "boston-dense", "sgd", "poison", poison=poison)
    for dtype in ("mixed_float16", "mixed_bfloat16"):
        for peak in (1, 10):
            yield launch("tensorflow", "digits-conv", "sgd", "precision", dtype=dtype, peak=peak, of_limit=True)


def on_torch() -> Iterator[Launch]:
    for task, optimizer in (PAIRS[0], PAIRS[6]):
        for peak in (10, 30):
            yield launch("torch", task, optimizer, "peak", peak=peak, of_limit=True)
    for poison in ("nan", "wrong", "nan-row"):
        yield launch("torch", "boston-dense", "sgd", "poison", poison=poison)


def big_batches(backend: str) -> Iterator[Launch]:
    """Batch size 2048 with the rate that suits batch 32, and scaled linearly."""
    for task in ("boston-dense", "fashion-dense"):
        for peak in (1, 64):
            yield launch(backend, task, "sgd", "batch-2048", peak=peak, variant="big")
    for peak in (1, 64):  # where the article's explosion is looked for
        yield launch(backend, "boston-dense", "sgd", "batch-2048", peak=peak, variant="big raw")


def raw_inputs(backend: str) -> Iterator[Launch]:
    """Inputs in their own units, with the rate that suits standardized ones, and ten times that."""
    for peak in (1, 10):
        yield launch(backend, "boston-dense", "sgd", "raw-inputs", peak=peak, variant="raw")
    yield launch(backend, "digits-conv", "sgd", "raw-inputs", variant="raw")


def launch(backend: str, task: str, optimizer: str, trouble: str, **more: Any) -> Launch:
    return Launch(backend, task, optimizer, trouble, **more, seed=SEEDS[backend])


def tuned() -> dict[str, dict[str, float]]:
    """Return "task optimizer variant" -> best peak, stable limit, and the test loss at the best peak."""
    found: dict[str, dict[str, float]] = json.loads((HERE / "tuning.json").read_text())
    return found


if __name__ == "__main__":
    found = launches()
    lines = [json.dumps({"name": one.name} | asdict(one)) for one in found]
    (HERE / "launches.jsonl").write_text("\n".join(lines) + "\n")
    print(len(found), "troubled trainings with", len(ARMS), "arms each:", len(found) * len(ARMS), "launches")
