"""Measures by how much the noise scale grows in a training, on tasks of the benchmark that may tune constants."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean, median

BENCHMARK = Path(__file__).parents[1] / "2026-11-28_benchmark"
sys.path.insert(0, str(BENCHMARK))

from run import RUNS, write  # noqa: E402
from tasks import TASKS  # noqa: E402

import onecycle  # noqa: E402
from onecycle.comparison.packed import documents  # noqa: E402

NAMES = ("hastie-dense", "quantiles-dense", "fashion-autoencoder", "cifar-dense-bn", "oscillations-residual",
         "fashion-residual", "photo-neighbors-attention", "license-gru")  # fmt: skip
STEPS = (200, 500, 1000, 2000)  # of training before the noise is measured; the first are a tenth of the last
SEEDS = (0, 1)


def main() -> None:
    """Make the missing records and print the growth."""
    for seed in SEEDS:
        for name in NAMES:
            for steps in STEPS:
                file = f"{name}_{steps}_{seed}.json"
                if file not in documents(RUNS / "growth"):
                    write(RUNS / "growth" / file, record(name, steps, seed))
    print_growth()


def record(name: str, steps: int, seed: int) -> dict[str, object]:
    """Return the noise scale in the last third of some steps of training."""
    task = TASKS[name]
    x, y = task.load().train
    advice = onecycle.advise_batch_size(
        task.build(seed), x, y, batch_size=task.batch_size, batch_sizes=[task.batch_size], training_steps=steps,
        seed=seed, verbose=0,
    )  # fmt: skip
    return {"task": name, "steps": steps, "seed": seed, "noise_scale": advice.noise_scale, "interval": advice.interval}


def print_growth() -> None:
    """Print the noise scales, and that of the whole training relative to that of its first tenth."""
    found = {
        (one["task"], one["seed"], one["steps"]): one["noise_scale"] for one in documents(RUNS / "growth").values()
    }
    ratios = []
    print(
        f"| task | seed | {' | '.join(f'{steps} steps' for steps in STEPS)} | mean over the training |\n{'|---' * 7}|"
    )
    for name in NAMES:
        for seed in SEEDS:
            scales = [found[name, seed, steps] for steps in STEPS if (name, seed, steps) in found]
            if len(scales) == len(STEPS):
                # Each stands for the steps since the one before.
                spans = [after - before for before, after in zip((0, *STEPS), STEPS, strict=False)]
                average = sum(scale * span for scale, span in zip(scales, spans, strict=True)) / STEPS[-1]
                ratios.append(average / scales[0])
                print(f"| {name} | {seed} | {' | '.join(f'{one:.3g}' for one in scales)} | x {ratios[-1]:.2f} |")
    print(f"\nMean over the training / first tenth: median {median(ratios):.2f}, mean {mean(ratios):.2f}")


if __name__ == "__main__":
    main()
