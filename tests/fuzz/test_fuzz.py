"""Attacks that hypothesis makes up, and makes short; and what they found, by name."""

import gc
import sys
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobqueue import Controller, Job
from jobqueue.testing import ManualClock
from tests.fuzz.attack import attack


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300))
def test_attacks(data: bytes) -> None:
    attack(data)


def test_long_attacks(rng: Random) -> None:
    for _ in range(150):
        attack(rng.randbytes(rng.randrange(100, 800)))
    gc.collect()


@pytest.mark.parametrize("timer", ["expire", "timeout_attempt"])
def test_a_hook_that_raises_reaches_the_unraisablehook(
    timer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_value))
    clock = ManualClock()
    error = OSError("the hook broke")

    def hook(_: object) -> None:
        raise error

    with Controller(clock=clock) as c:
        getattr(c, f"handle_{timer}")(hook)
        c.add(Job("a", ttr=5, ttl=10))
        c.lease("a", 0)
        clock.advance(20)
        assert seen == [error]
        c._check()
