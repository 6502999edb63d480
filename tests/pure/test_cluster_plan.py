"""Tests of the simulation of a race on a cluster."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cluster_plan import Cluster, averaging, leg, race

EVEN = replace(Cluster(), steps=1000, jitter=0.0, delay_share=0.0, slow_host=1.0, start=10.0, state=0.0)


def step_time(hosts):
    """Return the time of a step without anything random."""
    return 1024 / (8 * hosts) * EVEN.row + EVEN.overhead + averaging(EVEN, hosts)


def test_averaging_is_that_of_rings():
    """Of 100 MB, 8 GPUs of a host send 7/4 each; two hosts send all of it once, in two messages."""
    assert averaging(EVEN, 1) == pytest.approx(1.75 * 1e8 / 2e11)
    assert averaging(EVEN, 2) - averaging(EVEN, 1) == pytest.approx(1e8 / 1.25e10 + 2 * 5e-5)


@pytest.mark.parametrize(("hosts", "waits"), [((1, 1, 1), (1, 1, 1)), ((4, 4, 4), (4, 2, 1)), ((2, 2, 4), (2, 1, 1))])
def test_race_without_chance(hosts, waits):
    """A round takes as long as its candidates one after the other, divided among the groups of hosts."""
    time, busy = race(EVEN, hosts, np.random.default_rng(0))
    rounds = [10 + steps * step_time(each) for steps, each in zip((400, 300, 300), hosts, strict=True)]
    assert time == pytest.approx(sum(wait * one for wait, one in zip(waits, rounds, strict=True)))
    shares = zip((4, 2, 1), hosts, rounds, strict=True)
    assert busy * 3600 == pytest.approx(sum(candidates * each * one for candidates, each, one in shares))


def test_lost_host_costs_half_a_round_more():
    """Its candidate starts again on a host that becomes free after the first round of the others."""
    random = np.random.default_rng
    round_time = 10 + 400 * step_time(1)
    healthy, lost = race(EVEN, (1, 1, 1), random(0))[0], race(EVEN, (1, 1, 1), random(0), lost=True)[0]
    assert lost - healthy == pytest.approx(round_time)


def test_step_waits_for_the_slowest_gpu():
    """Jitter and a slow host lengthen a step, and the more so the more GPUs there are."""
    jittery = replace(EVEN, jitter=0.05)
    for hosts in (1, 4):
        factor = (leg(jittery, 1000, list(range(hosts)), np.random.default_rng(0)) - 10) / 1000 - averaging(EVEN, hosts)
        computed = step_time(hosts) - averaging(EVEN, hosts)
        # The mean of the largest of n normal numbers: 1.42 for 8, 2.07 for 32.
        assert factor / computed == pytest.approx(np.exp({1: 1.42, 4: 2.07}[hosts] * 0.05), rel=0.01)
