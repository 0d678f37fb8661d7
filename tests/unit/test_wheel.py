"""The timer wheel: exact order, levels and jumps, callbacks, time's edges."""

import gc
import itertools
import random
import sys
import weakref
from datetime import UTC, datetime, timedelta, timezone

import pytest

from jobqueue._objects.timer import Timer, TimerWheel
from jobqueue.errors import InvalidTimeError

MS = 1_000_000
SECOND = 1_000 * MS
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

# Starts that fill the levels differently: aligned, amid a slot, before 1970, at an end.
STARTS = [0, 1, 63 * MS, 1_767_225_600 * SECOND + 123, -5 * DAY - 7, INT64_MIN]


class Witness:
    """Something that can be seen to be collected."""

    timers: list[Timer]


def deadlines(timers: list[Timer]) -> list[int]:
    return [timer.deadline_ns for timer in timers]


def test_empty() -> None:
    wheel = TimerWheel()
    assert len(wheel) == 0
    assert wheel.next_deadline() is None
    assert wheel.advance(INT64_MAX) == []
    wheel._check()


@pytest.mark.parametrize("start", STARTS)
def test_fires_by_deadline_to_the_nanosecond(start: int) -> None:
    wheel = TimerWheel(start)
    wanted = [
        start + d for d in (0, 1, 2, MS - 1, MS, MS + 1, 64 * MS, 64 * MS + 1, HOUR, 30 * DAY)
    ]
    for deadline in random.Random(1).sample(wanted, len(wanted)):
        wheel.arm(deadline)
    for deadline in wanted:
        if deadline > start:
            assert wheel.advance(deadline - 1) == []
        assert deadlines(wheel.advance(deadline)) == [deadline]
        wheel._check()
    assert len(wheel) == 0


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(
    "distance", [0, 1, 5 * MS, 70 * MS, 5 * SECOND, HOUR, 29 * DAY, 300 * 365 * DAY]
)
def test_equal_deadlines_fire_in_arming_order(start: int, distance: int) -> None:
    wheel = TimerWheel(start)
    deadline = min(start + distance, INT64_MAX)
    armed = []
    now = start
    while now < deadline:  # on the way, so that some are cascaded and some filed low
        armed += [wheel.arm(deadline) for _ in range(3)]
        now += (deadline - now) // 2 + 1
        if now < deadline:
            assert wheel.advance(now) == []
        wheel._check()
    armed += [wheel.arm(deadline) for _ in range(3)]
    assert wheel.advance(deadline) == armed
    wheel._check()


def test_arming_within_the_tick_that_is_due() -> None:
    wheel = TimerWheel(0)
    late = [wheel.arm(10 * MS + d) for d in (900, 500, 700)]
    assert wheel.advance(10 * MS + 100) == []  # the tick is current now, nothing of it due
    early = [wheel.arm(10 * MS + d) for d in (600, 500, 300, 800)]
    wheel._check()
    assert wheel.next_deadline() == datetime(1970, 1, 1, 0, 0, 0, 10_000, tzinfo=UTC)
    assert wheel.advance(10 * MS + 600) == [early[2], late[1], early[1], early[0]]
    past = wheel.arm(3)
    older = wheel.arm(2)
    wheel._check()
    assert wheel.advance(10 * MS + 900) == [older, past, late[2], early[3], late[0]]


def test_arming_before_the_head_of_an_unsorted_tick() -> None:
    wheel = TimerWheel(0)
    wheel.arm(10 * MS)
    assert len(wheel.advance(10 * MS)) == 1  # the tick is current now
    head, last, first, third = (wheel.arm(10 * MS + d) for d in (100, 900, 400, 600))
    assert head.cancel()
    second = wheel.arm(10 * MS + 400)
    wheel._check()
    assert wheel.advance(11 * MS) == [first, second, third, last]


def test_what_is_past_fires_at_the_next_advance_in_order() -> None:
    wheel = TimerWheel(10 * SECOND)
    wheel.advance(20 * SECOND)
    armed = [wheel.arm(d) for d in (15 * SECOND, -1, INT64_MIN, 20 * SECOND, 15 * SECOND, 0)]
    wheel._check()
    fired = wheel.advance(0)  # counts as 20 s
    assert fired == [armed[i] for i in (2, 1, 5, 0, 4, 3)]


def test_time_does_not_go_back() -> None:
    wheel = TimerWheel(100 * SECOND)
    timer = wheel.arm(50 * SECOND)
    assert wheel.advance(1 * SECOND) == [timer]
    wheel._check()


def test_the_ends_of_time() -> None:
    wheel = TimerWheel()
    last, first = wheel.arm(INT64_MAX), wheel.arm(INT64_MIN)
    assert wheel.next_deadline() == datetime(1677, 9, 21, 0, 12, 43, 145224, tzinfo=UTC)
    assert wheel.advance(INT64_MIN) == [first]
    assert wheel.next_deadline() == datetime(2262, 4, 11, 23, 47, 16, 854775, tzinfo=UTC)
    assert wheel.advance(INT64_MAX - 1) == []
    wheel._check()
    assert wheel.advance(INT64_MAX) == [last]
    assert wheel.advance(INT64_MAX) == []
    wheel._check()


def test_idle_years_are_a_jump() -> None:
    wheel = TimerWheel(0)
    for year in range(1, 200):
        timer = wheel.arm(year * 365 * DAY)
        assert wheel.advance(year * 365 * DAY - 1) == []
        assert wheel.advance(year * 365 * DAY) == [timer]
    wheel._check()


def test_the_wake_time_is_a_lower_bound_that_each_advance_corrects() -> None:
    wheel = TimerWheel(0)
    assert wheel._wake_ns() == INT64_MAX
    soon, later = wheel.arm(3 * SECOND), wheel.arm(DAY)
    assert wheel._wake_ns() == 3 * SECOND
    assert soon.cancel()
    assert wheel._wake_ns() == 3 * SECOND  # stale, too early
    wakes = 0
    while len(wheel):
        now = wheel._wake_ns()
        wheel.advance(now)
        assert now < wheel._wake_ns()
        wakes += 1
    assert wheel._wake_ns() == INT64_MAX
    assert later.fired
    assert wakes < 8


def test_cancel() -> None:
    wheel = TimerWheel(0)
    timers = [wheel.arm(d * MS) for d in (1, 1, 1, 90, 90, 9000)]
    for timer in (timers[1], timers[3]):
        assert not timer.cancelled
        assert timer.cancel()
        assert timer.cancelled
        assert not timer.cancel()
        assert not wheel.cancel(timer)
        wheel._check()
    assert wheel.cancel(timers[5])
    assert len(wheel) == 3
    assert wheel.advance(DAY) == [timers[0], timers[2], timers[4]]
    assert not timers[0].cancel()
    assert timers[0].fired
    assert not timers[0].cancelled
    assert not timers[1].fired
    wheel._check()


def test_a_timer_is_cancelled_where_it_was_armed() -> None:
    wheel, other = TimerWheel(0), TimerWheel(0)
    timer = wheel.arm(5)
    with pytest.raises(ValueError, match="not armed on this wheel"):
        other.cancel(timer)
    with pytest.raises(ValueError, match="not armed on this wheel"):
        other._cancel_timer(timer)
    assert len(wheel) == 1


def test_a_timer_that_was_never_armed_is_harmless() -> None:
    timer = Timer()
    assert not timer.cancel()
    assert not timer.fired
    assert repr(timer) == "<Timer 1970-01-01T00:00:00+00:00 idle>"


def test_times_are_aware_datetimes_or_nanoseconds() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    wheel = TimerWheel(start)
    cet = timezone(timedelta(hours=1))
    timer = wheel.arm(datetime(2026, 1, 1, 1, 0, 0, 7, tzinfo=cet))
    assert timer.deadline == start + timedelta(microseconds=7)
    assert timer.deadline.tzinfo is UTC
    assert timer.deadline_ns == 1_767_225_600 * SECOND + 7_000
    assert wheel.next_deadline() == timer.deadline
    assert wheel.advance(timer.deadline_ns) == [timer]
    assert repr(timer) == "<Timer 2026-01-01T00:00:00.000007+00:00 fired>"
    assert wheel.arm(-1).deadline == datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    "time",
    [
        datetime(2026, 1, 1),  # naive
        datetime.max.replace(tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
        2**63,
        -(2**63) - 1,
        10**30,
    ],
)
def test_invalid_times(time: datetime | int) -> None:
    wheel = TimerWheel()
    for call in (TimerWheel, wheel.arm, wheel.advance):
        with pytest.raises(InvalidTimeError):
            call(time)
    wheel._check()
    assert len(wheel) == 0


@pytest.mark.parametrize("time", [True, 1.5, "now", b"", timedelta(1)])
def test_times_of_a_wrong_type(time: object) -> None:
    wheel = TimerWheel()
    for call in (TimerWheel, wheel.arm, wheel.advance):
        with pytest.raises(TypeError) as caught:
            call(time)  # type: ignore[arg-type]
        assert isinstance(caught.value, InvalidTimeError)


def test_a_callback_must_be_callable() -> None:
    wheel = TimerWheel()
    with pytest.raises(TypeError, match="callable"):
        wheel.arm(5, 7)  # type: ignore[arg-type]
    assert len(wheel) == 0


def test_callbacks_may_arm_and_cancel() -> None:
    wheel = TimerWheel(0)
    seen: list[object] = []
    doomed = [wheel.arm(5 * MS, lambda: seen.append("doomed")) for _ in range(3)]

    def first() -> None:
        seen.append("first")
        assert doomed[1].cancel()  # due at the same instant
        wheel.arm(2 * MS, lambda: seen.append("past"))
        wheel.arm(6 * MS, lambda: seen.append("between"))
        wheel.arm(DAY, lambda: seen.append("never"))
        wheel._check()

    starter = wheel.arm(4 * MS, first)
    last = wheel.arm(7 * MS, lambda: seen.append("last"))
    fired = wheel.advance(10 * MS)
    assert seen == ["first", "past", "doomed", "doomed", "between", "last"]
    assert fired[0] is starter
    assert fired[-1] is last
    assert len(fired) == 6
    assert len(wheel) == 1
    wheel._check()


def test_a_callback_that_arms_anew_repeats() -> None:
    wheel = TimerWheel(0)
    times = itertools.count(SECOND, SECOND)

    def tick() -> None:
        wheel.arm(next(times), tick)

    tick()
    assert deadlines(wheel.advance(5 * SECOND)) == [n * SECOND for n in range(1, 6)]


def test_a_callback_may_advance() -> None:
    wheel = TimerWheel(0)
    inner: list[Timer] = []
    outer = wheel.arm(1, lambda: inner.extend(wheel.advance(10 * SECOND)))
    rest = [wheel.arm(d * SECOND) for d in (1, 2, 20)]
    assert wheel.advance(1) == [outer]
    assert inner == rest[:2]
    assert wheel.advance(20 * SECOND) == rest[2:]
    wheel._check()


def test_an_exception_in_a_callback_is_reported_and_the_rest_fires(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)
    wheel = TimerWheel(0)

    def fails() -> None:
        raise LookupError("planned")

    seen: list[int] = []
    timers = [wheel.arm(1, fails), wheel.arm(2, lambda: seen.append(2)), wheel.arm(3, fails)]
    assert wheel.advance(5) == timers
    assert seen == [2]
    assert [type(report.exc_value) for report in reports] == [LookupError, LookupError]
    assert reports[0].object is fails


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_callback_propagates(error: type[BaseException]) -> None:
    wheel = TimerWheel(0)

    def interrupt() -> None:
        raise error

    interrupted = wheel.arm(1, interrupt)
    rest = wheel.arm(2)
    with pytest.raises(error):
        wheel.advance(5)
    assert interrupted.fired
    assert wheel.advance(5) == [rest]
    wheel._check()


def test_many_timers_in_a_random_order() -> None:
    rng = random.Random(8)
    wheel = TimerWheel(0)
    spans = (MS, 100 * MS, 10 * SECOND, HOUR, DAY, 30 * DAY)
    timers = [wheel.arm(rng.randrange(rng.choice(spans))) for _ in range(20_000)]
    doomed = set(rng.sample(range(20_000), 10_000))
    for index in doomed:
        assert timers[index].cancel()
    wheel._check()
    left = [timer for index, timer in enumerate(timers) if index not in doomed]
    left.sort(key=lambda timer: timer.deadline_ns)  # stable, so arming order among equals
    fired: list[Timer] = []
    now = 0
    while len(wheel):
        now = now * 3 // 2 + MS
        fired += wheel.advance(now)
        wheel._check()
    assert fired == left


def test_next_deadline_is_exact() -> None:
    wheel = TimerWheel(0)
    for days in range(40, 0, -1):
        wheel.arm(days * DAY + 5_000)
        wheel.arm(days * DAY + 3_000)
        expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days, microseconds=3)
        assert wheel.next_deadline() == expected


def test_wheels_and_timers_are_collected() -> None:
    witness = Witness()
    wheel = TimerWheel(0)
    witness.timers = []
    for distance in (0, DAY):  # cycles, armed: the callback holds what holds the timer
        witness.timers.append(wheel.arm(distance, lambda held=witness: held))
    alive = weakref.ref(witness)
    del witness, wheel
    gc.collect()
    assert alive() is None


def test_the_wheel_keeps_armed_timers_alive_and_no_others() -> None:
    witness = Witness()
    alive = weakref.ref(witness)
    wheel = TimerWheel(0)
    wheel.arm(5, lambda witness=witness: None)
    timer = wheel.arm(6, lambda witness=witness: None)
    del witness
    assert alive() is not None
    assert timer.cancel()
    fired = wheel.advance(5)
    assert [timer.fired for timer in fired] == [True]
    assert alive() is None  # without the collector, though the timers live: callbacks are let go
    wheel._check()
