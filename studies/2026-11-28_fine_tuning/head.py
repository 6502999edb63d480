"""Which peak suits a last layer that is trained alone with Adam: python head.py > head.md

The features of the frozen layers are pixels, or random linear maps of them after ReLU. The last layer is a softmax
regression, trained with one cycle in NumPy, without keras.
"""

from __future__ import annotations

import numpy as np

from onecycle.schedules.curves import Curve
from onecycle.schedules.phases import one_cycle_phases
from onecycle.tasks import load_task

PEAKS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SEEDS, BATCH = 3, 32
HEAD_STEP = 6.0  # the constant under test


def features() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return name -> (features, labels)."""
    random, found = np.random.RandomState(0), {}
    (x, y), (x_test, y_test) = load_task("digits").data
    found["digits, pixels"] = np.concatenate([x, x_test]).reshape(-1, 64), np.concatenate([y, y_test])
    (x, y), _ = load_task("fashion-mnist").data
    x, y = x[:4000].reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(-1, 196), y[:4000]
    found["Fashion-MNIST, pixels"] = x, y
    for units in (64, 512, 1024):
        weights = random.normal(size=(196, units)) * np.sqrt(2 / 196)
        found[f"Fashion-MNIST, {units} units"] = np.maximum(x @ weights, 0), y
    return found


def trained(
    x: np.ndarray, y: np.ndarray, test: tuple[np.ndarray, np.ndarray], peak: float, epochs: int, seed: int
) -> float:
    """Return the loss on the test rows after one cycle with Adam."""
    random, (n, inputs), classes = np.random.RandomState(seed), x.shape, int(y.max()) + 1
    steps = epochs * -(-n // BATCH)
    rates = Curve(one_cycle_phases(peak, steps)).values(np.arange(steps))
    weights = np.zeros((inputs + 1, classes))
    weights[:-1] = random.uniform(-1, 1, (inputs, classes)) * np.sqrt(6 / (inputs + classes))
    first, second, step = np.zeros_like(weights), np.zeros_like(weights), 0
    rows = np.hstack([x, np.ones((n, 1))])
    for _ in range(epochs):
        order = random.permutation(n)
        for start in range(0, n, BATCH):
            batch = order[start : start + BATCH]
            errors = probabilities(rows[batch] @ weights)
            errors[np.arange(len(batch)), y[batch]] -= 1
            gradient = rows[batch].T @ errors / len(batch)
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            corrected = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
            weights -= rates[step] * corrected[0] / (np.sqrt(corrected[1]) + 1e-7)
            step += 1
    x_test, y_test = test
    found = probabilities(np.hstack([x_test, np.ones((len(x_test), 1))]) @ weights)
    return float(-np.log(np.maximum(found[np.arange(len(y_test)), y_test], 1e-30)).mean())


def probabilities(outputs: np.ndarray) -> np.ndarray:
    """Return the softmax."""
    raised = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def main() -> None:
    print(
        "| features | inputs | rows | epochs | "
        + " | ".join(f"{peak:g}" for peak in PEAKS)
        + " | 6 / inputs | regret |"
    )
    print("|---" * (len(PEAKS) + 6) + "|")
    regrets = []
    for name, (x, y) in features().items():
        for rows in (500, 1000):
            for epochs in (1, 3):
                test = x[-700:], y[-700:]
                suggested = HEAD_STEP / x.shape[1]
                losses = [
                    np.mean([trained(x[:rows], y[:rows], test, peak, epochs, seed) for seed in range(SEEDS)])
                    for peak in (*PEAKS, suggested)
                ]
                regrets.append(losses[-1] / min(losses) - 1)
                numbers = " | ".join(f"{loss:.3f}" for loss in losses)
                print(f"| {name} | {x.shape[1]} | {rows} | {epochs} | {numbers} | {regrets[-1]:.0%} |")
    print(f"\nMedian regret {np.median(regrets):.1%}, highest {max(regrets):.0%}.")


if __name__ == "__main__":
    main()
