"""Job: its limits on both sides, and how it behaves as a value."""

import copy
import gc
import itertools
import pickle
import sys
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue import (
    ID,
    MAX_ATTEMPTS,
    MAX_FAILS,
    MAX_NAME,
    MAX_PAYLOAD,
    MAX_TTL,
    MAX_TTR,
    Controller,
    DuplicateJobError,
    InvalidIDError,
    InvalidMaxAttemptsError,
    InvalidMaxFailsError,
    InvalidNameError,
    InvalidPayloadError,
    InvalidPriorityError,
    InvalidTimeError,
    InvalidTTLError,
    InvalidTTRError,
    Job,
    ValidationError,
)
from jobqueue.testing import ManualClock

MS = timedelta(milliseconds=1)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_defaults() -> None:
    before = datetime.now(UTC)
    job = Job("a")
    after = datetime.now(UTC)
    assert (job.name, job.payload) == ("a", b"")
    assert (job.priority, job.ttr, job.ttl) == (0, 60_000, 86_400_000)
    assert (job.max_attempts, job.max_fails) == (0, 0)
    assert job.time is None
    assert job.time_ns is None
    assert before - MS <= job.created <= after + MS
    assert job.expiration == job.created + timedelta(days=1)
    assert type(job.id) is ID
    assert Job("a").id != job.id


def test_everything_given() -> None:
    id = ID.new()
    job = Job(
        "mail.send",
        b"to you",
        id=id,
        priority=-3,
        ttr=1,
        ttl=2,
        max_attempts=3,
        max_fails=4,
        time=NOON,
        created=NOON - MS,
    )
    assert (job.name, job.payload, job.id, job.priority) == ("mail.send", b"to you", id, -3)
    assert (job.ttr, job.ttl, job.max_attempts, job.max_fails) == (1, 2, 3, 4)
    assert (job.time, job.created) == (NOON, NOON - MS)
    assert job.time_ns == int(NOON.timestamp()) * 10**9
    assert job.created_ns == job.time_ns - 10**6
    assert job.expiration == NOON + 2 * MS


def test_name_and_payload_by_name() -> None:
    job = Job(payload=b"x", name="a")
    assert (job.name, job.payload) == ("a", b"x")


@pytest.mark.parametrize(
    "make",
    [
        Job,
        lambda: Job(payload=b""),
        lambda: Job("a", b"", None),
        lambda: Job("a", b"", priority=1, wrong=2),
        lambda: Job("a", name="b"),
        lambda: Job("a", b"", payload=b""),
        lambda: Job.__new__(Job),
        lambda: Job("a", **{"": 1}),
    ],
)
def test_signature(make: Any) -> None:
    with pytest.raises(TypeError):
        make()


# ---------------------------------------------------------------- limits: (fits, does not)

BOUNDARIES: list[tuple[str, type[Exception], list[Any], list[Any]]] = [
    (
        "name",
        InvalidNameError,
        ["a", "A", "0", "_", ".", "-", "a" * MAX_NAME, "-.", "mail.send_2-Z", "None"],
        ["", "a" * (MAX_NAME + 1), " ", "a ", "a,b", "a\n", "\0", "é", "日", "a/b", "a:b", "ａ"],
    ),
    (
        "payload",
        InvalidPayloadError,
        [b"", b"x", bytes(MAX_PAYLOAD), bytearray(MAX_PAYLOAD), memoryview(b"abc")],
        [bytes(MAX_PAYLOAD + 1), bytearray(MAX_PAYLOAD + 1), memoryview(bytes(MAX_PAYLOAD + 1))],
    ),
    (
        "priority",
        InvalidPriorityError,
        [-(2**31), -1, 0, 1, 2**31 - 1],
        [-(2**31) - 1, 2**31, 2**63, -(2**63), 2**200, -(2**200)],
    ),
    (
        "ttr",
        InvalidTTRError,
        [1, MAX_TTR, MS, timedelta(days=1)],
        [
            0,
            -1,
            MAX_TTR + 1,
            2**31,
            2**32 + 1,
            2**64 + 5,
            timedelta(0),
            -MS,
            timedelta(days=1) + MS,
            timedelta(microseconds=999),
            timedelta.max,
            timedelta.min,
        ],
    ),
    (
        "ttl",
        InvalidTTLError,
        [1, MAX_TTL, MS, timedelta(days=30)],
        [
            0,
            -1,
            MAX_TTL + 1,
            2**32 + 1,
            2**64 + 5,
            timedelta(0),
            -MS,
            timedelta(days=30) + MS,
            timedelta(microseconds=999),
            timedelta.max,
            timedelta.min,
        ],
    ),
    (
        "max_attempts",
        InvalidMaxAttemptsError,
        [0, 1, MAX_ATTEMPTS],
        [-1, MAX_ATTEMPTS + 1, 2**64],
    ),
    ("max_fails", InvalidMaxFailsError, [0, 1, MAX_FAILS], [-1, MAX_FAILS + 1, 256 + 1, -(2**64)]),
]
FITTING = [(name, value) for name, _, fits, _ in BOUNDARIES for value in fits]
BREAKING = [(name, error, value) for name, error, _, breaks in BOUNDARIES for value in breaks]


def build(name: str, value: Any) -> Job:
    return Job(**{"name": "a", name: value})


@pytest.mark.parametrize(("name", "value"), FITTING, ids=lambda value: repr(value)[:30])
def test_values_that_fit(name: str, value: Any) -> None:
    got = getattr(build(name, value), name)
    if isinstance(value, timedelta):
        assert got == value / MS
    else:
        assert got == value
    assert type(got) in (str, bytes, int)


@pytest.mark.parametrize(("name", "error", "value"), BREAKING, ids=lambda value: repr(value)[:30])
def test_values_that_do_not(name: str, error: type[Exception], value: Any) -> None:
    with pytest.raises(error) as caught:
        build(name, value)
    assert type(caught.value) is error
    assert name in str(caught.value)
    with pytest.raises(error):
        Job("a").replace(**{name: value})


WRONG_TYPES: list[tuple[str, type[Exception], list[Any]]] = [
    ("name", InvalidNameError, [None, 5, b"a", ["a"], object(), True, 1.5]),
    ("payload", InvalidPayloadError, [None, 5, "a", ["a"], object(), True, 1.5, [1, 2]]),
    ("priority", InvalidPriorityError, [None, "5", 5.0, True, False, object(), b"5", 1j]),
    ("ttr", InvalidTTRError, [None, "5", 5.0, True, object(), b"5", float("nan"), NOON]),
    ("ttl", InvalidTTLError, [None, "5", 5.0, True, object(), b"5", float("inf"), NOON]),
    ("max_attempts", InvalidMaxAttemptsError, [None, "5", 5.0, True, False, object(), 3 * MS]),
    ("max_fails", InvalidMaxFailsError, [None, "5", 5.0, True, False, object(), 3 * MS]),
    ("time", InvalidTimeError, [5, "2026-01-01", 5.0, True, object(), NOON.date(), MS]),
    ("created", InvalidTimeError, [5, "2026-01-01", 5.0, True, object(), NOON.date(), MS]),
    ("id", InvalidIDError, [5, 5.0, True, object(), [1], MS]),
]


@pytest.mark.parametrize(
    ("name", "error", "value"),
    [(name, error, value) for name, error, values in WRONG_TYPES for value in values],
    ids=lambda value: repr(value)[:30],
)
def test_wrong_types(name: str, error: type[Exception], value: Any) -> None:
    with pytest.raises(error) as caught:
        build(name, value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValidationError)
    assert type(value).__name__ in str(caught.value) or repr(value) in str(caught.value)


@pytest.mark.parametrize("name", ["ttr", "ttl"])
def test_a_float_is_told_about_milliseconds(name: str) -> None:
    with pytest.raises(TypeError, match="ms"):
        build(name, 1.5)


class Meaning(int):
    """An int of one's own."""


class Text(str):
    """A str of one's own."""

    def __str__(self) -> str:
        return "a lie"


def test_subclasses_become_plain() -> None:
    job = Job(Text("a"), priority=Meaning(5), ttr=Meaning(7))
    assert (type(job.name), job.name) == (str, "a")
    assert (type(job.priority), job.priority) == (int, 5)
    assert job.ttr == 7


def test_subclass_of_bytes_is_copied() -> None:
    class Data(bytes):
        pass

    job = Job("a", Data(b"xyz"))
    assert (type(job.payload), job.payload) == (bytes, b"xyz")


def test_durations_are_rounded_down() -> None:
    job = Job("a", ttr=timedelta(microseconds=1999), ttl=timedelta(seconds=1, microseconds=999))
    assert (job.ttr, job.ttl) == (1, 1000)


def test_a_changed_buffer_does_not_change_the_payload() -> None:
    data = bytearray(b"before")
    job = Job("a", data)
    data[:] = b"AFTER!"
    assert job.payload == b"before"
    data.clear()  # not held as a buffer either


def test_payload_of_any_shape() -> None:
    grid = memoryview(bytes(range(12))).cast("B", (3, 4))
    assert Job("a", grid).payload == bytes(range(12))
    assert Job("a", memoryview(b"abcdef")[::2]).payload == b"ace"
    import array

    assert Job("a", array.array("H", [1, 2])).payload == array.array("H", [1, 2]).tobytes()
    with pytest.raises(InvalidPayloadError):
        Job("a", array.array("Q", [0] * (MAX_PAYLOAD // 8 + 1)))


# ---------------------------------------------------------------- times


@pytest.mark.parametrize("name", ["time", "created"])
def test_any_timezone(name: str) -> None:
    for hours in (-23.5, -9, 0, 5.75, 14):
        local = NOON.astimezone(timezone(timedelta(hours=hours)))
        got = getattr(build(name, local), name)
        assert got == NOON
        assert got.utcoffset() == timedelta(0)


@pytest.mark.parametrize("name", ["time", "created"])
def test_naive_times(name: str) -> None:
    with pytest.raises(InvalidTimeError, match="naive"):
        build(name, datetime(2026, 1, 1))


@pytest.mark.parametrize("name", ["time", "created"])
@pytest.mark.parametrize(
    "when", [datetime.min, datetime.max, datetime(1600, 1, 1), datetime(2262, 12, 1)]
)
def test_times_beyond_64_bits_of_ns(name: str, when: datetime) -> None:
    with pytest.raises(InvalidTimeError):
        build(name, when.replace(tzinfo=UTC))


@pytest.mark.parametrize("when", [datetime(1678, 2, 1), datetime(1970, 1, 1), datetime(2262, 1, 1)])
def test_far_times(when: datetime) -> None:
    when = when.replace(tzinfo=UTC, microsecond=999_999)
    job = Job("a", time=when, created=when)
    assert job.time == job.created == when
    assert (
        job.time_ns
        == job.created_ns
        == (when - datetime(1970, 1, 1, tzinfo=UTC)) // MS * 10**6 + 999_000
    )
    assert job.expiration == when + timedelta(days=1)


def test_a_time_of_none_is_no_time() -> None:
    job = Job("a", time=None, created=None, id=None)
    assert job.time is None


def test_created_increases_strictly() -> None:
    stamps = [Job("a").created_ns for _ in range(2000)]
    assert all(a < b for a, b in itertools.pairwise(stamps))


# ---------------------------------------------------------------- ids


def test_every_form_of_an_id() -> None:
    id = ID.new()
    for form in (id, id.uuid, str(id), bytes(id), Job("b", id=id), str(id).upper()):
        assert Job("a", id=form).id == id


@pytest.mark.parametrize(
    "bad", ["", "x", b"", b"x" * 15, bytes(16), uuid.uuid1(), uuid.uuid4().hex]
)
def test_bad_ids(bad: Any) -> None:
    with pytest.raises(InvalidIDError):
        Job("a", id=bad)


# ---------------------------------------------------------------- as a value


def test_immutable() -> None:
    job = Job("a")
    for name in ("name", "payload", "id", "priority", "ttr", "time", "created", "expiration"):
        with pytest.raises(AttributeError):
            setattr(job, name, getattr(job, name))
        with pytest.raises(AttributeError):
            delattr(job, name)
    with pytest.raises(AttributeError):
        job.other = 1
    with pytest.raises((AttributeError, TypeError)):
        Job.other = 1


def test_calling_init_again_changes_nothing() -> None:
    job = Job("a", b"x")
    try:
        job.__init__("b", b"y")
    except TypeError:
        pass
    assert (job.name, job.payload) == ("a", b"x")


def test_final() -> None:
    with pytest.raises(TypeError):
        type("Other", (Job,), {})


def test_equality_and_hash_are_by_id() -> None:
    job = Job("a", b"x")
    same, other = Job("b", b"y", id=job.id), Job("a", b"x")
    assert job == same
    assert not job != same  # noqa: SIM202 - both operators are under test
    assert hash(job) == hash(same)
    assert job != other
    assert {job, same, other} == {job, other}
    assert job != job.id
    assert job.id != job
    assert job != "a"
    with pytest.raises(TypeError):
        assert job < other


def test_replace() -> None:
    job = Job("a", b"x", priority=1, ttr=2, ttl=3, max_attempts=4, max_fails=5, time=NOON)
    changed = job.replace(priority=9)
    assert changed is not job
    assert changed == job
    assert (changed.priority, job.priority) == (9, 1)
    for name in ("name", "payload", "id", "ttr", "ttl", "max_attempts", "max_fails", "time"):
        assert getattr(changed, name) == getattr(job, name)
    assert job.replace(id=None) != job
    assert job.replace(time=None).time is None
    assert job.replace(payload=bytearray(b"new")).payload == b"new"


def test_replace_keeps_created_only_if_it_was_given() -> None:
    assert Job("a", created=NOON).replace(priority=1).created == NOON
    job = Job("a")
    assert job.replace().created_ns > job.created_ns
    assert job.replace(created=NOON).created == NOON


def test_replace_refuses_what_the_constructor_refuses() -> None:
    job = Job("a")
    with pytest.raises(TypeError):
        job.replace(wrong=1)
    with pytest.raises(TypeError):
        job.replace("b")
    with pytest.raises(InvalidTTRError):
        job.replace(ttr=0)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling(protocol: int) -> None:
    job = Job("a", b"x" * 1000, priority=-1, ttr=2, ttl=3, max_attempts=4, max_fails=5, time=NOON)
    back = pickle.loads(pickle.dumps(job, protocol))
    assert back == job
    assert back is not job
    for name in (
        "name", "payload", "id", "priority", "ttr", "ttl", "max_attempts", "max_fails", "time",
        "time_ns", "created", "created_ns", "expiration",
    ):  # fmt: skip
        assert getattr(back, name) == getattr(job, name), name


def test_a_pickled_job_is_stamped_as_the_original_would_be() -> None:
    given, stamped = Job("a", created=NOON), Job("a")
    assert pickle.loads(pickle.dumps(given)).replace().created == NOON
    assert pickle.loads(pickle.dumps(stamped)).replace().created_ns > stamped.created_ns


def test_copies() -> None:
    job = Job("a", b"x")
    for copied in (copy.copy(job), copy.deepcopy(job)):
        assert (copied, copied.payload, copied.created_ns) == (job, b"x", job.created_ns)


def test_repr_is_readable() -> None:
    job = Job("mail.send", b"hello", priority=3)
    text = repr(job)
    for part in ("mail.send", "b'hello'", "3", str(job.id)):
        assert part in text
    assert str(job) == text


def test_repr_shortens_the_payload() -> None:
    for size in (100, MAX_PAYLOAD):
        text = repr(Job("a", b"x" * size))
        assert len(text) < 300
        assert str(size) in text
    assert "2026-05-01" in repr(Job("a", time=NOON))


def test_costs_the_collector_nothing() -> None:
    assert not gc.is_tracked(Job("a"))
    assert sys.getsizeof(Job("a", bytes(1000))) < 300


def test_no_leak_when_a_constructor_fails() -> None:
    payload = b"payload" * 100
    before = sys.getrefcount(payload)
    for _ in range(100):
        with pytest.raises(InvalidTTRError):
            Job("a", payload, ttr=0)
    assert sys.getrefcount(payload) == before


# ---------------------------------------------------------------- stamps of a controller


def test_a_controller_stamps_from_its_own_clock() -> None:
    clock = ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
    with Controller(clock=clock) as c:
        for verb in (c.add, c.schedule):
            job = Job("a", time=clock.now + MS)
            verb(job)
            assert clock.now <= job.created < clock.now + MS
            clock.advance(1000)


def test_a_controller_leaves_a_given_creation_alone() -> None:
    with Controller(clock=ManualClock()) as c:
        job = Job("a", created=datetime(2026, 1, 1, tzinfo=UTC))
        c.add(job)
        assert job.created == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_controller_s_stamps_increase_strictly_whatever_its_clock_does() -> None:
    clock = ManualClock()
    stamps = []
    with Controller(clock=clock) as c:
        for step in (0, 0, -5000, 10, -1, 7000, -86_400_000, 0):
            clock.step(step)
            job = Job("a", ttl=MAX_TTL)
            c.add(job)
            stamps.append(job.created_ns)
    assert stamps == sorted(set(stamps))


def test_a_refused_job_is_not_stamped() -> None:
    with Controller(clock=ManualClock()) as c:
        job = Job("a")
        c.add(job)
        other = Job("b", id=job.id)
        created_ns = other.created_ns
        with pytest.raises(DuplicateJobError):
            c.add(other)
        assert other.created_ns == created_ns


# ---------------------------------------------------------------- anything at all

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.timedeltas(),
    st.datetimes(), st.datetimes(timezones=st.just(UTC)), st.uuids(), st.lists(st.integers()),
)  # fmt: skip
NAMES = [
    "name",
    "payload",
    "id",
    "priority",
    "ttr",
    "ttl",
    "max_attempts",
    "max_fails",
    "time",
    "created",
]


@given(st.dictionaries(st.sampled_from(NAMES), ANYTHING))
def test_either_a_whole_job_or_its_rule_s_error(fields: dict[str, Any]) -> None:
    try:
        job = Job(**{"name": "a", **fields})
    except ValidationError as error:
        assert str(error)  # noqa: PT017 - the other outcome is a whole job
        return
    assert 1 <= len(job.name) <= MAX_NAME
    assert 1 <= job.ttr <= MAX_TTR
    assert 1 <= job.ttl <= MAX_TTL
    assert -(2**31) <= job.priority < 2**31
    back = pickle.loads(pickle.dumps(job))
    assert (back, back.payload, back.created_ns) == (job, job.payload, job.created_ns)


def test_a_key_is_kept_by_whatever_copies_a_job() -> None:
    job = Job("a", unique=bytearray(b"k"), created=NOON)
    assert job.unique == b"k"
    assert Job("a").unique is None
    assert Job("a", unique=None).unique is None
    assert "unique=b'k'" in repr(job)
    for other in (pickle.loads(pickle.dumps(job)), job.replace(priority=1)):
        assert (other, other.unique, other.created) == (job, b"k", NOON)
    assert job.replace(unique=None).unique is None
    assert Job.__new__(Job, "a", unique=b"k").unique == b"k"
    with pytest.raises(InvalidNameError):
        Job("not a name", unique=b"k")
