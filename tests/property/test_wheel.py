"""The timer wheel against a sorted list, its invariants checked after every step."""

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from jobqueue._objects.timer import Timer, TimerWheel

MS = 1_000_000
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

int64s = st.integers(INT64_MIN, INT64_MAX)
# Distances within a tick, within each level, and at the borders of their slots.
distances = st.one_of(
    st.integers(0, 3),
    st.integers(0, 3 * MS),
    st.builds(
        lambda level, slots, off: slots * 64**level * MS + off,
        st.integers(0, 5),
        st.integers(0, 64),
        st.sampled_from([-MS, -1, 0, 1, MS]),
    ),
    st.integers(0, 2**62),
)


def clamped(time_ns: int) -> int:
    return max(INT64_MIN, min(INT64_MAX, time_ns))


class WheelMachine(RuleBasedStateMachine):
    """``model`` lists (deadline, number of arming, timer) of what is armed."""

    @initialize(start=st.just(0) | st.integers(0, 64**4 * MS) | int64s)
    def start(self, start: int) -> None:
        self.wheel = TimerWheel(start)
        self.now = start
        self.arming_count = 0
        self.model: list[tuple[int, int, Timer]] = []

    def arm_at(self, deadline: int) -> None:
        self.model.append((deadline, self.arming_count, self.wheel.arm(deadline)))
        self.arming_count += 1

    def advance_to(self, time_ns: int) -> None:
        self.now = max(self.now, time_ns)
        self.model.sort(key=lambda armed: armed[:2])
        due = [timer for deadline, _, timer in self.model if deadline <= self.now]
        del self.model[: len(due)]
        assert self.wheel.advance(time_ns) == due
        assert all(timer.fired for timer in due)
        assert self.wheel._wake_ns() > self.now or self.wheel._wake_ns() == INT64_MAX

    @rule(distance=distances, count=st.integers(1, 3))
    def arm(self, distance: int, count: int) -> None:
        for _ in range(count):
            self.arm_at(clamped(self.now + distance))

    @rule(distance=distances)
    def arm_in_the_past(self, distance: int) -> None:
        self.arm_at(clamped(self.now - distance))

    @rule(deadline=int64s)
    def arm_at_any_time(self, deadline: int) -> None:
        self.arm_at(deadline)

    @rule(data=st.data(), off=st.integers(-2, 2))
    def arm_beside_another(self, data: st.DataObject, off: int) -> None:
        if self.model:
            deadline, _, _ = data.draw(st.sampled_from(self.model))
            self.arm_at(clamped(deadline + off))

    @rule(distance=distances, random=st.randoms(use_true_random=False))
    def arm_many(self, distance: int, random: Random) -> None:
        for _ in range(50):
            self.arm_at(clamped(self.now + random.randrange(distance + 2 * MS)))

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.model:
            index = data.draw(st.integers(0, len(self.model) - 1))
            _, _, timer = self.model.pop(index)
            assert timer.cancel()
            assert timer.cancelled
            assert not timer.cancel()

    @rule(step=st.integers(2, 4))
    def cancel_most(self, step: int) -> None:
        for _, _, timer in self.model[1::step]:
            assert timer.cancel()
        del self.model[1::step]

    @rule(distance=distances)
    def advance(self, distance: int) -> None:
        self.advance_to(clamped(self.now + distance))

    @rule(distance=distances)
    def go_back(self, distance: int) -> None:
        self.advance_to(clamped(self.now - distance))

    @rule(off=st.integers(-1, 1))
    def advance_to_the_next_deadline(self, off: int) -> None:
        if self.model:
            self.advance_to(clamped(min(self.model)[0] + off))

    @rule()
    def sleep_until_something_fires(self) -> None:
        """What a timer thread does: a wake for each level at most, one for a timer that is gone."""
        armed = len(self.model)
        wakes = 0
        while len(self.model) == armed > 0:
            self.advance_to(self.wheel._wake_ns())
            wakes += 1
        assert wakes <= 10

    @rule()
    def look_at_the_next_deadline(self) -> None:
        expected = None
        if self.model:
            us = min(deadline for deadline, _, _ in self.model) // 1000
            expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
        assert self.wheel.next_deadline() == expected

    @invariant()
    def holds_together(self) -> None:
        self.wheel._check()
        assert len(self.wheel) == len(self.model)


TestWheel = WheelMachine.TestCase
TestWheel.settings = settings(max_examples=100, stateful_step_count=50)
