"""Measure the range test against the classic finder, or the member engine against `fit`.

Run `python -m benchmarks.engine ramp` or `python -m benchmarks.engine members`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

# Use one core, set before the backend counts the cores. On two shared cores the A/A ratio varied from 0.9 to 1.1.
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import keras  # noqa: E402
import numpy as np  # noqa: E402

import onecycle  # noqa: E402
from benchmarks import classic_finder  # noqa: E402
from benchmarks.measure import LARGEST_HALF_WIDTH, Ratio, Seconds, Stopwatch  # noqa: E402
from benchmarks.subjects import BATCH, dense  # noqa: E402
from onecycle.engine import Member, train_members  # noqa: E402
from onecycle.results import RangeTest  # noqa: E402

ROWS = 404  # as in the training data of Boston Housing: 13 steps per epoch, the last batch short
STEPS = 13
NETS = {"13-64-64-1": (13, 64, 64, 1), "784-300-100": (784, 300, 100)}
SHORT, LONG = 10, 110  # epochs; the difference gives the time of a step
RANGE = {"min": 1e-7, "max": 1e-5}  # too low for divergence
RAMP_TARGETS = {
    ("jax", "13-64-64-1"): 8.0,
    ("jax", "784-300-100"): 1.5,
    ("tensorflow", "13-64-64-1"): 2.0,
    ("tensorflow", "784-300-100"): 1.5,
}
FIT_TARGET = {"tensorflow": 1.0, "jax": 1.05, "torch": 0.55}[keras.backend.backend()]
MEMBERS, EPOCHS = 64, 100
FITS = 12  # pairs of fits on each backend
TARGETS = {"fit on JAX": 10.0, "fit on TensorFlow": 100.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("ramp", "members", "fits"))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--only", help="name of the only net to measure")
    parser.add_argument("--steps-per-execution", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.what == "ramp":
        for name in NETS:
            if arguments.only in (None, name):
                write_result(f"ramp_{keras.backend.backend()}_{name}", ramp(name, arguments.rounds))
    elif arguments.what == "members":
        write_result("members", members())
    else:
        print(json.dumps(fits(arguments.steps_per_execution)))


def ramp(name: str, rounds: int) -> dict[str, object]:
    """Measure a step of our range test, of the classic finder and of a bare `fit`, and the fixed cost of a call.

    Args:
        name: Name of the net.
        rounds: Number of rounds; each makes a short and a long call of everything that is measured.

    Returns:
        Ratios, times and raw numbers for the file of results.
    """
    x, y = data(name)

    def bare(model: keras.Model, epochs: int) -> object:
        return model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)

    def ours(model: keras.Model, epochs: int) -> RangeTest:
        return onecycle.find_learning_rate(
            model, x, y, min_learning_rate=RANGE["min"], max_learning_rate=RANGE["max"], num_steps=epochs * STEPS,
            verbose=0,
        )  # fmt: skip

    def classic(model: keras.Model, epochs: int) -> object:
        return classic_finder.find_learning_rate(model, x, y, epochs, BATCH, RANGE["min"], RANGE["max"])

    def analysis(_: keras.Model, epochs: int) -> object:
        rates, losses = range_tests[epochs].learning_rates, range_tests[epochs].losses
        return RangeTest.from_losses(rates, losses, range_tests[epochs].stop_reason)

    range_tests = {epochs: ours(compiled(name), epochs) for epochs in (SHORT, LONG)}
    finders: dict[str, Callable] = {
        "classic": classic, "ours": ours, "bare fit": bare, "analysis": analysis,
        "classic again": classic, "bare fit again": bare,
    }  # fmt: skip
    models = {finder: compiled(name) for finder in finders}
    first = {finder: asdict(timed(find, models[finder], SHORT)) for finder, find in finders.items()}
    taken: dict[str, dict[int, list[Seconds]]] = {finder: {SHORT: [], LONG: []} for finder in finders}
    for turn in range(rounds):
        names = list(finders)
        for finder in names[turn % len(names) :] + names[: turn % len(names)]:
            for epochs in (SHORT, LONG):
                taken[finder][epochs].append(timed(finders[finder], models[finder], epochs))
    per_step = {finder: seconds_per_step(laps) for finder, laps in taken.items()}
    # Both finders train, but ours also evaluates five rules on the curve. That is timed and reported separately.
    training = per_step["ours"] - per_step["analysis"]
    base = {one: (per_step[one] + per_step[f"{one} again"]) / 2 for one in ("classic", "bare fit")}
    again = {one: Ratio.of(per_step[f"{one} again"], per_step[one], block=1) for one in base}
    target = RAMP_TARGETS.get((keras.backend.backend(), name))
    ratio = Ratio.of(base["classic"], training, block=1)
    whole = Ratio.of(base["classic"], per_step["ours"], block=1)
    of_fit = Ratio.of(training, base["bare fit"], block=1)
    result = {
        "times faster per step": asdict(ratio),
        "times faster per step, analysis of the curve included": asdict(whole),
        "a_a": asdict(again["classic"]),
        "target": target,
        "holds": target is not None and ratio.high >= target and again["classic"].half_width <= LARGEST_HALF_WIDTH,
        "of a bare fit": {
            "ratio": asdict(of_fit),
            "a_a": asdict(again["bare fit"]),
            "target": FIT_TARGET,
            "holds": of_fit.low <= FIT_TARGET and again["bare fit"].half_width <= LARGEST_HALF_WIDTH,
        },
        "microseconds_per_step": {one: 1e6 * float(np.median(values)) for one, values in per_step.items()},
        "seconds_of_a_call": {
            one: {str(epochs * STEPS): median(all_) for epochs, all_ in by.items()} for one, by in taken.items()
        },
        "first_call_seconds": first,
    }
    print(keras.backend.backend(), name, json.dumps(result, indent=1))
    raw = {one: {str(k): [asdict(s) for s in all_] for k, all_ in by.items()} for one, by in taken.items()}
    return {**result, "raw": raw}


def seconds_per_step(taken: dict[int, list[Seconds]]) -> np.ndarray:
    """Return the CPU seconds per step of each round: the difference between a long and a short call, per step."""
    pairs = zip(taken[LONG], taken[SHORT], strict=True)
    return np.array([(long.cpu - short.cpu) / ((LONG - SHORT) * STEPS) for long, short in pairs])


def members() -> dict[str, object]:
    """Time the Boston Housing net, 64 times 100 epochs: the engine on JAX against `fit` on JAX and TensorFlow."""
    model = compiled("13-64-64-1")
    x, y = data("13-64-64-1")
    grid = [Member(float(rate), seed=k) for k, rate in enumerate(np.geomspace(1e-4, 1e-2, MEMBERS))]

    def engine(model: keras.Model, epochs: int) -> object:
        return train_members(model, x, y, members=grid, epochs=epochs, batch_size=BATCH)

    first = train_members(model, x, y, members=grid, epochs=EPOCHS, batch_size=BATCH)
    on_engine, on_jax = [], []
    one = compiled("13-64-64-1")
    fit(one, 2)
    for _ in range(FITS):
        on_jax.append(timed(fit, one, EPOCHS))
        on_engine.append(timed(engine, model, EPOCHS))
        on_jax.append(timed(fit, one, EPOCHS))
    others = {"fit on JAX": on_jax}
    for steps in (1, 32):
        name = "fit on TensorFlow" + (f", steps_per_execution={steps}" if steps > 1 else "")
        others[name] = fits_elsewhere("tensorflow", steps)
    result = {
        "members": MEMBERS, "epochs": EPOCHS, "engine": first.engine, "reason": first.reason,
        "compile_seconds": first.compile_seconds,
        "times faster": {name: times_faster(all_, on_engine, TARGETS.get(name)) for name, all_ in others.items()},
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    raw = {"engine": on_engine, **others}
    return result | {"raw": {name: [asdict(one) for one in all_] for name, all_ in raw.items()}}


def times_faster(fits: list[Seconds], engine: list[Seconds], target: float | None) -> dict[str, object]:
    """Return the ratio of the time of one fit per member to that of the engine for all members.

    The target is checked with CPU or wall time, whichever has the narrower A/A interval, because threads of TensorFlow
    use CPU time while they wait.

    Args:
        fits: Times of pairs of fits; the second fit of each pair gives the A/A ratio.
        engine: Times of the engine, one for each pair.
        target: Ratio to reach, or None.
    """
    result, ratios = {}, {}
    for what in ("cpu", "wall"):
        each = np.array([getattr(one, what) for one in fits]).reshape(-1, 2)
        ratio = Ratio.of(MEMBERS * each.mean(axis=1), np.array([getattr(one, what) for one in engine]), block=1)
        ratios[what] = ratio, Ratio.of(each[:, 1], each[:, 0], block=1)
        result[what] = {"ratio": asdict(ratio), "a_a": asdict(ratios[what][1])}
    judged = min(ratios, key=lambda what: ratios[what][1].half_width)
    ratio, a_a = ratios[judged]
    holds = target and bool(ratio.high >= target and a_a.half_width <= LARGEST_HALF_WIDTH)
    return {**result, "judged by": judged, "target": target, "holds": holds}


def fits_elsewhere(backend: str, steps_per_execution: int) -> list[Seconds]:
    """Time the fits in a new process with another backend."""
    command = [sys.executable, "-m", "benchmarks.engine", "fits", "--steps-per-execution", str(steps_per_execution)]
    done = subprocess.run(
        command, env={**os.environ, "KERAS_BACKEND": backend}, check=True, capture_output=True, text=True
    )
    return [Seconds(**one) for one in json.loads(done.stdout.splitlines()[-1])]


def fits(steps_per_execution: int) -> list[dict[str, float]]:
    model = compiled("13-64-64-1", steps_per_execution)
    fit(model, 2)
    return [asdict(timed(fit, model, EPOCHS)) for _ in range(2 * FITS)]


def fit(model: keras.Model, epochs: int) -> object:
    return model.fit(*data("13-64-64-1"), batch_size=BATCH, epochs=epochs, verbose=0)


def timed(function: Callable, *arguments: object) -> Seconds:
    watch = Stopwatch()
    function(*arguments)
    return Seconds(*watch.lap())


def median(taken: list[Seconds]) -> dict[str, float]:
    return {what: float(np.median([getattr(one, what) for one in taken])) for what in ("cpu", "wall")}


def data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return random data of the shape of a net."""
    widths, generator = NETS[name], np.random.default_rng(0)
    x = generator.normal(size=(ROWS, widths[0])).astype("float32")
    return x, generator.normal(size=(ROWS, widths[-1])).astype("float32")


def compiled(name: str, steps_per_execution: int = 1) -> keras.Model:
    """Return a net compiled with SGD and momentum."""
    keras.utils.set_random_seed(0)
    model = dense(*NETS[name])()
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "mse", steps_per_execution=steps_per_execution)
    return model


def write_result(name: str, result: dict[str, object]) -> None:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    facts = {
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "onecycle": onecycle.__version__,
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
    }
    path = Path(__file__).parent / "results" / f"{today}_engine_{name}.json"
    path.write_text(json.dumps(facts | result, indent=1) + "\n")


if __name__ == "__main__":
    main()
