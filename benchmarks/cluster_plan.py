"""How long a race of 4 candidates takes on 4 hosts of 8 GPUs, simulated: `python -m benchmarks.cluster_plan`.

A step ends when the slowest GPU has computed its part of the batch and the gradients have been averaged. Nothing is
measured here: the constants below stand for a network of 25 million weights, such as a ResNet-50.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import numpy as np

RESULTS = Path(__file__).parent / "results"
SEEDS = 20
FIRST_CUT, LAST_CUT, KEPT = 0.24, 0.7, 2


@dataclass(frozen=True)
class Cluster:
    """The assumptions. Times in seconds, sizes in bytes.

    Attributes:
        steps: Steps of a whole cycle.
        rows: Rows of a batch, over all GPUs that train a candidate.
        hosts: Number of hosts.
        gpus: GPUs of a host.
        row: Time that a GPU needs for a row.
        overhead: Time of a step besides its rows.
        jitter: Standard deviation of the logarithm of a GPU's time for a step.
        delay_share: Share of the steps of a GPU that are delayed, as by data that comes late.
        delay: Mean of these delays, which are exponentially distributed.
        slow_host: Factor on all times of the slowest host.
        gradients: Size of the gradients.
        state: Size of what a candidate is at a cut: weights, velocities, averaged weights.
        inside: Bytes per second between the GPUs of a host.
        between: Bytes per second between two hosts.
        latency: Time of a message between two hosts.
        start: Time until a process has started and compiled the step.
    """

    steps: int = 20_000
    rows: int = 1024
    hosts: int = 4
    gpus: int = 8
    row: float = 4e-4
    overhead: float = 3e-3
    jitter: float = 0.03
    delay_share: float = 1e-4
    delay: float = 0.2
    slow_host: float = 1.1
    gradients: float = 1e8
    state: float = 3e8
    inside: float = 2e11
    between: float = 1.25e10
    latency: float = 5e-5
    start: float = 60.0


@dataclass(frozen=True)
class Round:
    """A round of a race, at whose end all candidates wait for one another.

    Attributes:
        share: Share of the cycle that each candidate is trained for.
        candidates: Number of candidates.
        hosts: How many hosts train a candidate.
    """

    share: float
    candidates: int
    hosts: int


def rounds(candidates: int, added: int, hosts: tuple[int, int, int]) -> list[Round]:
    """Return the rounds of a race.

    Args:
        candidates: Number of candidates at the start.
        added: Number of those that are added one after another, each when the one before was judged.
        hosts: How many hosts train a candidate up to the first cut, up to the last one, and to the end.
    """
    later = [Round(LAST_CUT - FIRST_CUT, KEPT, hosts[1]), Round(1 - LAST_CUT, 1, hosts[2])]
    one_more = Round(FIRST_CUT, 1, max(hosts[0], hosts[2]))  # it has the cluster for itself
    return [Round(FIRST_CUT, candidates, hosts[0]), *[one_more] * added, *later]


def averaging(cluster: Cluster, hosts: int) -> float:
    """Return the time in which rings average the gradients: first inside each host, then between the hosts.

    A ring of n sends 2 (n - 1) / n of the gradients in 2 (n - 1) messages. None of it is hidden behind the computation.
    """
    inside = 2 * (cluster.gpus - 1) / cluster.gpus * cluster.gradients / cluster.inside
    between = 2 * (hosts - 1) / hosts * cluster.gradients / cluster.between + 2 * (hosts - 1) * cluster.latency
    return inside + between


def leg(cluster: Cluster, steps: int, hosts: list[int], random: np.random.Generator) -> float:
    """Return the time of steps of one candidate, with its start.

    Args:
        cluster: The assumptions.
        steps: Number of steps.
        hosts: The hosts that train it. Number 0 is the slow one.
        random: Draws the jitter and the delays.
    """
    gpus = cluster.gpus * len(hosts)
    factors = np.repeat([cluster.slow_host if host == 0 else 1.0 for host in hosts], cluster.gpus)
    times = (cluster.rows / gpus * cluster.row + cluster.overhead) * factors
    times = times * random.lognormal(0.0, cluster.jitter, (steps, gpus))
    delayed = random.random((steps, gpus)) < cluster.delay_share
    times = times + delayed * random.exponential(cluster.delay, (steps, gpus))
    return cluster.start + float(times.max(axis=1).sum()) + steps * averaging(cluster, len(hosts))


def race(
    cluster: Cluster, plan: list[Round], random: np.random.Generator, *, lost: bool = False
) -> tuple[float, float]:
    """Return the time of a race, and the hours for which hosts are in use.

    Candidates of a round that find no free hosts wait for the first ones that become free. A cut waits for all.

    Args:
        cluster: The assumptions.
        plan: Its rounds.
        random: Draws the jitter and the delays.
        lost: Whether the hosts of the first candidate fail in the middle of the first round, and come back for the
            second one. The candidate is trained again on others.
    """
    time = busy = 0.0
    for number, one in enumerate(plan):
        steps, each = round(one.share * cluster.steps), one.hosts
        groups = [list(range(first, first + each)) for first in range(0, cluster.hosts, each)]
        free, earliest = [0.0] * len(groups), [0.0] * one.candidates
        if lost and number == 0:
            earliest.append(leg(cluster, steps, groups[0], random) / 2)
            earliest.pop(0)
            busy += earliest[-1] * each
            free[0] = earliest[-1] if len(groups) == 1 else float("inf")
        for start in earliest:
            group = int(np.argmin(free))
            # The state comes from the host of the main process, and goes back to it.
            taken = leg(cluster, steps, groups[group], random) + 2 * cluster.state / cluster.between
            free[group] = max(free[group], start) + taken
            busy += taken * each
        time += max(moment for moment in free if np.isfinite(moment))
    return time, busy / 3600


FIRST = "4 candidates, one host for each"
PLANS = {
    FIRST: rounds(4, 0, (1, 1, 1)),
    "the same, and one more added": rounds(4, 1, (1, 1, 1)),
    "8 candidates, two on each host in turn": rounds(8, 0, (1, 1, 1)),
    "4 candidates, all hosts for one after the other": rounds(4, 0, (4, 4, 4)),
    "4 candidates, as many hosts as there are": rounds(4, 0, (1, 2, 4)),
}


def simulate(cluster: Cluster, seeds: int) -> dict[str, list[dict[str, float]]]:
    """Return, for each way to train, its time in seconds and the hours of hosts for each seed."""
    runs: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        for hosts in (1, 4):
            time = leg(cluster, cluster.steps, list(range(hosts)), random)
            name = f"one cycle on {hosts} host{'s' if hosts > 1 else ''}"
            runs.setdefault(name, []).append({"seconds": time, "host_hours": time * hosts / 3600})
        for name, plan in PLANS.items():
            time, busy = race(cluster, plan, random)
            runs.setdefault(f"race, {name}", []).append({"seconds": time, "host_hours": busy})
        time, busy = race(cluster, PLANS[FIRST], random, lost=True)
        runs.setdefault(f"race, {FIRST}, one of which fails", []).append({"seconds": time, "host_hours": busy})
    return runs


def main() -> None:
    cluster = Cluster()
    runs = simulate(cluster, SEEDS)
    for name, results in runs.items():
        seconds = [one["seconds"] for one in results]
        hours = mean(one["host_hours"] for one in results)
        spread = f"{min(seconds) / 60:.1f} to {max(seconds) / 60:.1f}"
        print(f"{name:<52} {mean(seconds) / 60:6.1f} min ({spread}), {hours:5.2f} hours of hosts")
    date = datetime.date.today()
    document = {"date": str(date), "simulated": True, "cluster": asdict(cluster), "runs": runs}
    (RESULTS / f"{date}_cluster_plan.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
