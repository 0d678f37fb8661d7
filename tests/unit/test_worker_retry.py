"""Retry: what it accepts, that its delays are bounded, and what they count."""

import json
import random
from datetime import timedelta
from fractions import Fraction

import pytest

from jobqueue import Controller, Job, State
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import wait_until
from jobqueue.worker import Retry
from tests.shells import KINDS, Shell

EXTREMES = [
    Retry(),
    Retry(first=1, factor=1000, most=86_400_000, jitter=0),
    Retry(first=86_400_000, factor=1000, most=86_400_000, jitter=1),
    Retry(first=0, most=0),
    Retry(first=0, factor=1000),
    Retry(factor=1),
    Retry(first=1, factor=1 + 2**-52),
    Retry(first=1, factor=1.0001, most=86_400_000, jitter=0),
]


@pytest.mark.parametrize("retry", EXTREMES, ids=str)
def test_delays_are_bounded_and_grow(retry):
    counts = [-(2**70), 0, 1, 2, 50, 64, 65, 70, 255, 10**6, 2**64 - 1, 10**400]
    for failures in counts:
        assert 0 <= retry.delay(failures, random.Random(1)) <= retry.most
    steady = Retry(first=retry.first, factor=retry.factor, most=retry.most, jitter=0)
    delays = [steady.delay(failures) for failures in counts]
    assert delays == sorted(delays)
    assert delays[0] == delays[2] == steady.first
    if retry.factor > 1.00001 and retry.first:
        assert delays[-1] == retry.most, "however slowly it grows, it gets there"


def test_durations():
    retry = Retry(first=timedelta(seconds=2), most=timedelta(minutes=1), jitter=0)
    assert (retry.first, retry.most) == (2000, 60_000)
    assert retry == Retry(first=2000, most=60_000, jitter=0)
    assert [retry.delay(failures) for failures in (1, 2, 9)] == [2000, 4000, 60_000]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"first": 1.5}, TypeError, "first must be an int of ms"),
        ({"first": True}, TypeError, "first"),
        ({"first": "1"}, TypeError, "first"),
        ({"most": 60.0}, TypeError, "most"),
        ({"most": None}, TypeError, "most"),
        ({"first": -1}, ValueError, "first must be 0 to 86400000"),
        ({"most": 86_400_001}, ValueError, "most"),
        ({"first": 5, "most": 4}, ValueError, "first <= most"),
        ({"factor": 0.5}, ValueError, "factor must be 1 to 1000"),
        ({"factor": 1e5}, ValueError, "factor"),
        ({"factor": float("nan")}, ValueError, "factor"),
        ({"factor": float("inf")}, ValueError, "factor"),
        ({"factor": True}, TypeError, "factor"),
        ({"factor": 10**400}, ValueError, "factor"),
        ({"factor": Fraction(2)}, TypeError, "factor"),
        ({"jitter": True}, TypeError, "jitter"),
        ({"jitter": float("nan")}, ValueError, "jitter"),
        ({"jitter": -0.1}, ValueError, "jitter"),
        ({"jitter": 1.1}, ValueError, "jitter"),
        ({"jitter": "0"}, TypeError, "jitter"),
    ],
)
def test_what_is_refused(options, error, said):
    with pytest.raises(error, match=said):
        Retry(**options)


def test_all_is_by_keyword():
    """Retry(3) looks like three tries; it would be three milliseconds."""
    with pytest.raises(TypeError, match="positional"):
        Retry(3)  # type: ignore[misc]


class Odd(random.Random):
    def random(self):
        raise SystemExit


@pytest.mark.parametrize("kind", KINDS)
def test_a_delay_that_raises_costs_no_slot(kind):
    with Controller(clock=ManualClock()) as c:
        shell = Shell(kind, c, concurrency=1, rng=Odd())
        job = Job("a", max_fails=3)
        c.add(job)
        with shell.handler("a", lambda attempt: 1 / 0):
            wait_until(lambda: c.registry.record(job).processed())
            assert shell.alive() == 1
        assert c.registry.record(job).fails == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_delay_counts_failures_since_the_last_kick(kind):
    """Not attempts: whoever released twelve times and failed once waits as after one failure."""
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job = Job("a", max_fails=2)
        c.add(job)
        for _ in range(12):
            c.lease("a", 0)
            c.release(job)
        retry = Retry(first=1000, factor=10, jitter=0)
        shell = Shell(kind, c, concurrency=1, retry=retry).handler("a", lambda attempt: 1 / 0)
        with shell:
            for _ in range(2):
                wait_until(lambda: c.stats().scheduled == 1)
                clock.advance(999)
                assert c.stats().scheduled == 1
                clock.advance(1)
                wait_until(lambda: c.registry.record(job).processed())
                assert c.registry.record(job).state == State.FAILED
                c.kick(job)
            wait_until(lambda: c.stats().scheduled == 1)
        assert json.loads(c.registry.record(job).result or b"{}") == {}
