"""Tests of the simulation of a race on a cluster."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cluster_plan import Cluster, averaging, leg, race, rounds

EVEN = replace(Cluster(), steps=1000, jitter=0.0, delay_share=0.0, slow_host=1.0, start=10.0, state=0.0)


def step_time(hosts):
    """Return the time of a step without anything random."""
    return 1024 / (8 * hosts) * EVEN.row + EVEN.overhead + averaging(EVEN, hosts)


def test_averaging_is_that_of_rings():
    """Of 100 MB, 8 GPUs of a host send 7/4 each; two hosts send all of it once, in two messages."""
    assert averaging(EVEN, 1) == pytest.approx(1.75 * 1e8 / 2e11)
    assert averaging(EVEN, 2) - averaging(EVEN, 1) == pytest.approx(1e8 / 1.25e10 + 2 * 5e-5)


@pytest.mark.parametrize("added", [0, 2])
@pytest.mark.parametrize(("hosts", "waits"), [((1, 1, 1), (1, 1, 1)), ((4, 4, 4), (4, 2, 1)), ((2, 2, 4), (2, 1, 1))])
def test_race_without_chance(hosts, waits, added):
    """A round takes as long as its candidates one after the other, divided among the groups of hosts.

    Each candidate that is added takes as long as a round up to the first cut with one candidate.
    """
    time, busy = race(EVEN, rounds(4, added, hosts), np.random.default_rng(0))
    parts = [10 + steps * step_time(each) for steps, each in zip((240, 460, 300), hosts, strict=True)]
    hosts_of_added = max(hosts[0], hosts[2])
    one_more = added * (10 + 240 * step_time(hosts_of_added))
    assert time == pytest.approx(one_more + sum(wait * one for wait, one in zip(waits, parts, strict=True)))
    shares = zip((4, 2, 1), hosts, parts, strict=True)
    of_rounds = sum(candidates * each * one for candidates, each, one in shares)
    assert busy * 3600 == pytest.approx(of_rounds + one_more * hosts_of_added)


def test_lost_host_costs_half_a_round_more():
    """Its candidate starts again on a host that becomes free after the first round of the others."""
    random, plan = np.random.default_rng, rounds(4, 0, (1, 1, 1))
    round_time = 10 + 240 * step_time(1)
    healthy, lost = race(EVEN, plan, random(0))[0], race(EVEN, plan, random(0), lost=True)[0]
    assert lost - healthy == pytest.approx(round_time)


def test_step_waits_for_the_slowest_gpu():
    """Jitter and a slow host lengthen a step, and the more so the more GPUs there are."""
    jittery = replace(EVEN, jitter=0.05)
    for hosts in (1, 4):
        factor = (leg(jittery, 1000, list(range(hosts)), np.random.default_rng(0)) - 10) / 1000 - averaging(EVEN, hosts)
        computed = step_time(hosts) - averaging(EVEN, hosts)
        # The mean of the largest of n normal numbers: 1.42 for 8, 2.07 for 32.
        assert factor / computed == pytest.approx(np.exp({1: 1.42, 4: 2.07}[hosts] * 0.05), rel=0.01)
