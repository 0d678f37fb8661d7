"""A cascade of the wheel may pause anywhere: what is armed then fires in order all the same."""

import random

import pytest

from jobqueue import Timer, TimerWheel

MS = 10**6


@pytest.mark.parametrize("spread", [1, 1000, MS, 200 * MS, 10**13])
def test_timers_fire_in_order_whatever_happens_while_a_cascade_has_paused(
    spread: int, rng: random.Random
) -> None:
    wheel = TimerWheel(start=0)
    armed: dict[int, Timer] = {}  # number of arming -> timer; equal deadlines fire in this order
    fired: list[Timer] = []
    expected: list[Timer] = []
    number = now = 0

    def arm(deadline: int) -> None:
        nonlocal number
        armed[number] = wheel.arm(deadline)
        number += 1

    for _ in range(60):
        for _ in range(rng.randrange(60)):
            arm(now + rng.choice([rng.randrange(spread), spread, 7]))
        now += rng.randrange(spread)
        done = False
        while not done:
            some, done = wheel._advance_some(now, rng.randrange(1, 6))
            fired += some
            for timer in some:  # each is the earliest of what is armed now
                first = min(armed, key=lambda at: (armed[at].deadline_ns, at))
                expected.append(armed.pop(first))
                assert expected[-1] is timer
            wheel._check()
            if rng.random() < 0.3 and armed:
                wheel.cancel(armed.pop(rng.choice(list(armed))))
            if rng.random() < 0.3:
                arm(now + rng.randrange(-spread, spread))
            if rng.random() < 0.1:
                earliest = min((one.deadline_ns for one in armed.values()), default=None)
                found = wheel.next_deadline()
                assert (found is None) == (earliest is None)
            wheel._check()
    assert fired == expected
    assert len(wheel) == len(armed)


def test_no_step_moves_more_timers_than_it_may() -> None:
    wheel = TimerWheel(start=0)
    count = 1000
    for i in range(count):
        wheel.arm(10**12 + i % 3)
    calls = 0
    fired: list[Timer] = []
    done = False
    while not done:
        some, done = wheel._advance_some(2 * 10**12, 10)
        fired += some
        calls += 1
    assert len(fired) == count
    assert 2 * count // 10 <= calls <= 12 * count // 10  # each is moved at most 10 times, and fired
