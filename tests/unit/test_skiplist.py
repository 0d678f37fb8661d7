"""The ordered set: order, both ends, block boundaries, memory, allocation failure."""

import itertools
import random
from collections.abc import Iterator

import pytest

from jobqueue._structures.skiplist import _blocks_live, _fail_allocation_after
from tests.native import SkipList

Key = tuple[int, int, int, bytes]

MANY = 5_000  # entries that need several levels, in DEBUG builds most of all
ZERO_ID = bytes(16)


def key(a: int = 0, b: int = 0, created_ns: int = 0, id_byte: int = 0) -> Key:
    return (a, b, created_ns, bytes([id_byte]) * 16)


def filled(keys: list[Key]) -> SkipList:
    skiplist = SkipList()
    for k in keys:
        assert skiplist.insert(*k)
    skiplist._check()
    return skiplist


def test_empty() -> None:
    skiplist = SkipList()
    assert len(skiplist) == 0
    assert skiplist.pop() is None
    assert not skiplist.remove(*key())
    assert key() not in skiplist
    assert skiplist.after(key()) is None
    assert skiplist.rank(key()) == 0
    assert list(skiplist) == []
    assert skiplist._memory() == 0
    skiplist._check()


def test_order_is_a_then_b_then_created_then_id() -> None:
    keys = [
        key(-(2**63)),
        key(-1, 2**63 - 1),
        key(0, -1, 5, 5),
        key(0, 0, -1, 9),
        key(0, 0, 0, 0x00),
        key(0, 0, 0, 0x7F),
        key(0, 0, 0, 0x80),  # bytes are compared unsigned
        key(0, 0, 1, 0),
        key(0, 1, -(2**63), 0),
        key(2**63 - 1),
    ]
    for order in (keys, keys[::-1], random.Random(1).sample(keys, len(keys))):
        assert list(filled(order)) == keys


def test_an_equal_key_is_refused() -> None:
    skiplist = SkipList()
    for created_ns in range(100):
        assert skiplist.insert(0, 0, created_ns, ZERO_ID)
    for created_ns in range(100):
        assert not skiplist.insert(0, 0, created_ns, ZERO_ID)
    assert len(skiplist) == 100
    skiplist._check()


@pytest.mark.parametrize("id_bytes", [b"", bytes(15), bytes(17)])
def test_an_id_has_16_bytes(id_bytes: bytes) -> None:
    skiplist = SkipList()
    for call in (skiplist.insert, skiplist.remove):
        with pytest.raises(ValueError, match="16 bytes"):
            call(0, 0, 0, id_bytes)
    for look in (skiplist.rank, skiplist.after, skiplist.__contains__):
        with pytest.raises(ValueError, match="16 bytes"):
            look((0, 0, 0, id_bytes))


def test_at_refuses_what_is_outside() -> None:
    skiplist = filled([key(a) for a in range(3)])
    assert skiplist.at(2) == key(2)
    for index in (-1, 3, 2**62):
        with pytest.raises(IndexError, match="outside"):
            skiplist.at(index)


def orders() -> Iterator[tuple[str, list[Key]]]:
    ascending = [key(a // 7, a) for a in range(MANY)]
    yield "ascending", ascending
    yield "descending", ascending[::-1]
    yield "random", random.Random(2).sample(ascending, MANY)
    both = itertools.zip_longest(ascending[MANY // 2 :], ascending[: MANY // 2][::-1])
    yield "outwards", [k for pair in both for k in pair if k is not None]
    yield (
        "ties only",
        [key(7, 7, c // 200, c % 200) for c in random.Random(3).sample(range(MANY), MANY)],
    )


@pytest.mark.parametrize("keys", [pytest.param(keys, id=name) for name, keys in orders()])
def test_large(keys: list[Key]) -> None:
    in_order = sorted(keys)
    skiplist = filled(keys)
    assert list(skiplist) == in_order
    for index, k in enumerate(in_order):
        assert skiplist.at(index) == k
        assert skiplist.rank(k) == index
        assert k in skiplist
        assert skiplist.after(k) == (in_order[index + 1] if index + 1 < MANY else None)
    for index, k in enumerate(in_order):  # drain
        assert skiplist.pop() == k
        if index % 97 == 0:
            skiplist._check()
    skiplist._check()
    assert skiplist.pop() is None
    for k in keys:  # refill
        assert skiplist.insert(*k)
    for count, k in enumerate(random.Random(4).sample(keys, MANY), start=1):
        assert skiplist.remove(*k)
        assert not skiplist.remove(*k)
        if count % 97 == 0:
            skiplist._check()
    assert len(skiplist) == 0
    assert skiplist._memory() < 200


def test_fifo_of_any_length_keeps_its_order() -> None:
    for length in (1, 2, 3, 4, 5, 7, 8, 9, 31, 33, 64, 65, 130, 1000):
        skiplist = filled([key(0, b) for b in range(length)])
        for b in range(length, length + 600):
            assert skiplist.pop() == key(0, b - length)
            assert skiplist.insert(*key(0, b))
            assert skiplist.at(length // 2) == key(0, b - length + 1 + length // 2)
        skiplist._check()
        assert len(skiplist) == length


def test_last_in_first_out_at_the_front() -> None:
    skiplist = filled([key(a) for a in range(300)])
    for a in range(-1, -300, -1):
        assert skiplist.insert(*key(a))
        assert skiplist.insert(*key(a - 1000))
        assert skiplist.pop() == key(a - 1000)
        assert skiplist.rank(key(0)) == -a
    skiplist._check()


def test_front_that_is_put_back_finds_its_place() -> None:
    """What a released job does: it is popped, and inserted again before all others."""
    skiplist = filled([key(a) for a in range(MANY)])
    for _ in range(200):
        taken = [skiplist.pop() for _ in range(10)]
        for k in random.Random(5).sample(taken, len(taken)):
            assert k is not None
            assert skiplist.insert(*k)
        skiplist._check()
    assert list(skiplist) == [key(a) for a in range(MANY)]


def test_separators_outlive_their_entries() -> None:
    """Blocks lose the entries that separate them, among keys that differ in the tie alone."""
    keys = [key(1, 1, c, c % 251) for c in range(0, 4000, 2)]
    skiplist = filled(random.Random(6).sample(keys, len(keys)))
    kept = [k for index, k in enumerate(keys) if index % 61 == 60]
    for k in keys:
        if k not in kept:
            assert skiplist.remove(*k)
    skiplist._check()
    assert list(skiplist) == kept
    fresh = [key(1, 1, c, c % 251) for c in range(1, 4000, 2)]
    for k in random.Random(7).sample(fresh, len(fresh)):
        assert skiplist.insert(*k)
    skiplist._check()
    assert list(skiplist) == sorted(kept + fresh)


def test_memory_is_small_and_given_back() -> None:
    one = filled([key()])
    assert one._memory() < 200
    fifo = filled([key(0, b) for b in range(MANY)])
    assert fifo._memory() < 45 * MANY  # of 24 at least; DEBUG builds have small blocks
    while fifo.pop():
        pass
    assert fifo._memory() < 200


def test_blocks_become_full_in_every_stream_of_ascending_keys() -> None:
    """As in a queue of several priorities, each of them first in, first out."""
    streams = filled([key(b % 5, b) for b in range(MANY)])
    fifo = filled([key(0, b) for b in range(MANY)])
    assert streams._memory() < 1.3 * fifo._memory()  # 1.9 if they were split in halves


def test_iteration_survives_changes() -> None:
    skiplist = filled([key(a) for a in range(100)])
    seen = []
    for k in skiplist:
        seen.append(k[0])
        skiplist.remove(*k)
        skiplist.remove(*key(k[0] + 1))
        skiplist.insert(*key(k[0] - 1000))
    assert seen == list(range(0, 100, 2))
    skiplist._check()


def in_debug_build() -> bool:
    return _fail_allocation_after(-1)


@pytest.mark.skipif(not in_debug_build(), reason="only DEBUG builds can fail an allocation")
@pytest.mark.parametrize("keys", [pytest.param(keys, id=name) for name, keys in orders()])
def test_nothing_changes_when_memory_runs_out(keys: list[Key]) -> None:
    before = _blocks_live()
    skiplist = SkipList()
    failures = 0
    for count, k in enumerate(keys):
        for allocations in itertools.count():
            _fail_allocation_after(allocations)
            try:
                inserted = skiplist.insert(*k)
            except MemoryError:
                failures += 1
                assert len(skiplist) == count
                assert k not in skiplist
                if count % 31 == 0:
                    skiplist._check()
            else:
                assert inserted
                break
            finally:
                _fail_allocation_after(-1)
    skiplist._check()
    assert list(skiplist) == sorted(keys)
    assert failures > MANY // 8
    del skiplist
    assert _blocks_live() == before
