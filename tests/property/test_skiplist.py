"""The ordered set against a sorted list, its invariants checked after every step."""

from bisect import bisect_left, bisect_right
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jobqueue._structures.skiplist import _fail_allocation_after
from tests.native import SkipList

Key = tuple[int, int, int, bytes]

# Few values, so that keys are often equal, or equal but for their ties.
few_keys = st.builds(
    lambda a, b, created_ns, id_byte: (a, b, created_ns, bytes([id_byte]) * 16),
    st.integers(-3, 3),
    st.integers(0, 2),
    st.integers(0, 3),
    st.integers(0, 255),
)
any_int64 = st.integers(-(2**63), 2**63 - 1)
any_keys = st.tuples(any_int64, any_int64, any_int64, st.binary(min_size=16, max_size=16))
keys = few_keys | any_keys
bulk_counts = st.integers(1, 400)


class SkipListMachine(RuleBasedStateMachine):
    """``model`` is the sorted list of the keys that should be there."""

    def __init__(self) -> None:
        super().__init__()
        self.skiplist = SkipList()
        self.model: list[Key] = []

    def insert_one(self, key: Key) -> None:
        index = bisect_left(self.model, key)
        is_new = self.model[index : index + 1] != [key]
        assert self.skiplist.insert(*key) == is_new
        if is_new:
            self.model.insert(index, key)

    def remove_one(self, key: Key) -> None:
        index = bisect_left(self.model, key)
        is_there = self.model[index : index + 1] == [key]
        assert self.skiplist.remove(*key) == is_there
        if is_there:
            del self.model[index]

    @rule(key=keys)
    def insert(self, key: Key) -> None:
        self.insert_one(key)

    @rule(key=keys, allocations=st.integers(0, 3))
    def insert_with_little_memory(self, key: Key, allocations: int) -> None:
        _fail_allocation_after(allocations)
        try:
            self.insert_one(key)
        except MemoryError:
            assert key not in self.model
        finally:
            _fail_allocation_after(-1)

    @rule(count=bulk_counts, step=st.sampled_from([-1, 1]))
    def insert_at_an_end(self, count: int, step: int) -> None:
        a = 0
        if self.model:
            a = self.model[-1 if step > 0 else 0][0]
        for _ in range(count):
            a += step
            if -(2**63) <= a < 2**63:
                self.insert_one((a, 0, 0, bytes(16)))

    @rule(count=bulk_counts, random=st.randoms(use_true_random=False))
    def insert_at_random(self, count: int, random: Random) -> None:
        for _ in range(count):
            self.insert_one((random.randrange(-9, 9), random.randrange(9**3), 0, bytes(16)))

    @rule(key=keys)
    def remove(self, key: Key) -> None:
        self.remove_one(key)

    @rule(data=st.data())
    def remove_one_there(self, data: st.DataObject) -> None:
        if self.model:
            self.remove_one(self.model[data.draw(st.integers(0, len(self.model) - 1))])

    @rule(data=st.data(), step=st.integers(1, 5))
    def remove_a_stretch(self, data: st.DataObject, step: int) -> None:
        begin = data.draw(st.integers(0, len(self.model)))
        end = data.draw(st.integers(begin, len(self.model)))
        for key in self.model[begin:end:step]:
            self.remove_one(key)

    @rule(count=bulk_counts)
    def pop(self, count: int) -> None:
        for _ in range(count):
            assert self.skiplist.pop() == (self.model.pop(0) if self.model else None)

    @rule(key=keys)
    def look_for(self, key: Key) -> None:
        begin, end = bisect_left(self.model, key), bisect_right(self.model, key)
        assert (key in self.skiplist) == (begin < end)
        assert self.skiplist.rank(key) == begin
        assert self.skiplist.after(key) == (self.model[end] if end < len(self.model) else None)

    @rule(data=st.data())
    def look_at(self, data: st.DataObject) -> None:
        if self.model:
            index = data.draw(st.integers(0, len(self.model) - 1))
            assert self.skiplist.at(index) == self.model[index]
            assert self.skiplist.rank(self.model[index]) == index

    @rule()
    def iterate(self) -> None:
        assert list(self.skiplist) == self.model

    @invariant()
    def holds_together(self) -> None:
        self.skiplist._check()
        assert len(self.skiplist) == len(self.model)

    def teardown(self) -> None:
        while self.model:
            assert self.skiplist.pop() == self.model.pop(0)
        assert self.skiplist.pop() is None
        self.skiplist._check()
        assert self.skiplist._memory() < 200


TestSkipList = SkipListMachine.TestCase
TestSkipList.settings = settings(max_examples=60, stateful_step_count=50)
