"""`python -m benchmarks.engine ramp|members`: the range test against the classic finder; many members against fits."""

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

# One core, chosen before the backend counts them: two that are shared with others make A/A ratios of 0.9 to 1.1.
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import keras  # noqa: E402
import numpy as np  # noqa: E402

import onecycle  # noqa: E402
from benchmarks import classic_finder  # noqa: E402
from benchmarks.measure import LARGEST_HALF_WIDTH, Ratio, Seconds, Stopwatch  # noqa: E402
from benchmarks.subjects import BATCH, dense  # noqa: E402
from onecycle.engine import Member, train_members  # noqa: E402
from onecycle.results import RangeTest  # noqa: E402

ROWS = 404  # of Boston Housing's training part: 13 steps an epoch, the last batch short
STEPS = 13
NETS = {"13-64-64-1": (13, 64, 64, 1), "784-300-100": (784, 300, 100)}
SHORT, LONG = 10, 110  # epochs; what a step takes is the difference
RANGE = {"min": 1e-7, "max": 1e-5}  # so low that nothing diverges
RAMP_TARGETS = {
    ("jax", "13-64-64-1"): 8.0,
    ("jax", "784-300-100"): 1.5,
    ("tensorflow", "13-64-64-1"): 2.0,
    ("tensorflow", "784-300-100"): 1.5,
}
FIT_TARGET = 1.0 if keras.backend.backend() == "tensorflow" else 1.05
MEMBERS, EPOCHS = 64, 100
FITS = 12  # pairs of each kind
TARGETS = {"fit on JAX": 10.0, "fit on TensorFlow": 100.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("ramp", "members", "fits"))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--only", help="name of one net")
    parser.add_argument("--steps-per-execution", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.what == "ramp":
        for name in NETS:
            if arguments.only in (None, name):
                write(f"ramp_{keras.backend.backend()}_{name}", ramp(name, arguments.rounds))
    elif arguments.what == "members":
        write("members", members())
    else:
        print(json.dumps(fits(arguments.steps_per_execution)))


def ramp(name: str, rounds: int) -> dict[str, object]:
    """What a step of the range test takes, ours and the classic one, and of a bare `fit`; what comes once a call."""
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
        rates, losses = tested[epochs].learning_rates, tested[epochs].losses
        return RangeTest.from_losses(rates, losses, tested[epochs].stop_reason)

    tested = {epochs: ours(compiled(name), epochs) for epochs in (SHORT, LONG)}
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
    per_step = {finder: slopes(found) for finder, found in taken.items()}
    # Both finders train; ours also reads five rules from the curve, which is timed alone and told alone.
    training = per_step["ours"] - per_step["analysis"]
    base = {one: (per_step[one] + per_step[f"{one} again"]) / 2 for one in ("classic", "bare fit")}
    again = {one: Ratio.of(per_step[f"{one} again"], per_step[one], block=1) for one in base}
    target = RAMP_TARGETS.get((keras.backend.backend(), name))
    ratio = Ratio.of(base["classic"], training, block=1)
    whole = Ratio.of(base["classic"], per_step["ours"], block=1)
    of_fit = Ratio.of(training, base["bare fit"], block=1)
    found = {
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
    print(keras.backend.backend(), name, json.dumps({k: v for k, v in found.items() if k != "raw"}, indent=1))
    raw = {one: {str(k): [asdict(s) for s in all_] for k, all_ in by.items()} for one, by in taken.items()}
    return {**found, "raw": raw}


def slopes(taken: dict[int, list[Seconds]]) -> np.ndarray:
    """CPU seconds per step of each round: a long call less a short one."""
    pairs = zip(taken[LONG], taken[SHORT], strict=True)
    return np.array([(long.cpu - short.cpu) / ((LONG - SHORT) * STEPS) for long, short in pairs])


def members() -> dict[str, object]:
    """Boston's net, 64 members of 100 epochs: the engine on JAX, and calls of `fit` on JAX and TensorFlow."""
    model = compiled("13-64-64-1")
    x, y = data("13-64-64-1")
    wanted = [Member(float(rate), seed=k) for k, rate in enumerate(np.geomspace(1e-4, 1e-2, MEMBERS))]

    def engine(model: keras.Model, epochs: int) -> object:
        return train_members(model, x, y, members=wanted, epochs=epochs, batch_size=BATCH)

    first = train_members(model, x, y, members=wanted, epochs=EPOCHS, batch_size=BATCH)
    mine, on_jax = [], []
    one = compiled("13-64-64-1")
    fit(one, 2)
    for _ in range(FITS):
        on_jax.append(timed(fit, one, EPOCHS))
        mine.append(timed(engine, model, EPOCHS))
        on_jax.append(timed(fit, one, EPOCHS))
    others = {"fit on JAX": on_jax}
    for steps in (1, 32):
        name = "fit on TensorFlow" + (f", steps_per_execution={steps}" if steps > 1 else "")
        others[name] = fits_elsewhere("tensorflow", steps)
    found = {
        "members": MEMBERS, "epochs": EPOCHS, "engine": first.engine, "reason": first.reason,
        "compile_seconds": first.compile_seconds,
        "times faster": {name: times_faster(all_, mine, TARGETS.get(name)) for name, all_ in others.items()},
    }  # fmt: skip
    print(json.dumps(found, indent=1))
    raw = {"engine": mine, **others}
    return found | {"raw": {name: [asdict(one) for one in all_] for name, all_ in raw.items()}}


def times_faster(fits: list[Seconds], mine: list[Seconds], target: float | None) -> dict[str, object]:
    """The time of a fit for each member over the engine's for all; of the fits every second one is the other's A/A.

    Judged by CPU or wall time, whichever is known better: TensorFlow's threads take CPU time while they wait.
    """
    found, ratios = {}, {}
    for what in ("cpu", "wall"):
        each = np.array([getattr(one, what) for one in fits]).reshape(-1, 2)
        ratio = Ratio.of(MEMBERS * each.mean(axis=1), np.array([getattr(one, what) for one in mine]), block=1)
        ratios[what] = ratio, Ratio.of(each[:, 1], each[:, 0], block=1)
        found[what] = {"ratio": asdict(ratio), "a_a": asdict(ratios[what][1])}
    judged = min(ratios, key=lambda what: ratios[what][1].half_width)
    ratio, a_a = ratios[judged]
    holds = target and bool(ratio.high >= target and a_a.half_width <= LARGEST_HALF_WIDTH)
    return {**found, "judged by": judged, "target": target, "holds": holds}


def fits_elsewhere(backend: str, steps_per_execution: int) -> list[Seconds]:
    """The same fits in a process of their own."""
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
    """Noise of the right shape."""
    widths, generator = NETS[name], np.random.default_rng(0)
    x = generator.normal(size=(ROWS, widths[0])).astype("float32")
    return x, generator.normal(size=(ROWS, widths[-1])).astype("float32")


def compiled(name: str, steps_per_execution: int = 1) -> keras.Model:
    """The net with SGD and momentum."""
    keras.utils.set_random_seed(0)
    model = dense(*NETS[name])()
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "mse", steps_per_execution=steps_per_execution)
    return model


def write(name: str, found: dict[str, object]) -> None:
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
    path.write_text(json.dumps(facts | found, indent=1) + "\n")


if __name__ == "__main__":
    main()
