"""The public validators: each rule on both sides, and what only they check."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobqueue
from jobqueue import (
    ID,
    MAX_NAME,
    MAX_PAYLOAD,
    MAX_RESULT,
    MAX_TIMEOUT,
    MAX_TTL,
    MAX_TTR,
    InvalidIDError,
    InvalidNameError,
    InvalidPayloadError,
    InvalidResultError,
    InvalidTimeError,
    InvalidTimeoutError,
    InvalidTTLError,
    InvalidTTRError,
    Job,
    ValidationError,
    validate_add_job,
    validate_id,
    validate_name,
    validate_payload,
    validate_result,
    validate_run_job,
    validate_schedule_job,
    validate_time,
    validate_timeout,
    validate_ttl,
    validate_ttr,
)

MS = timedelta(milliseconds=1)
DAY = timedelta(days=1)
NAIVE = datetime(2100, 1, 1)
FAR = datetime(2100, 1, 1, tzinfo=UTC)

RULES: list[tuple[Callable[[Any], None], type[Exception], list[Any], list[Any], list[Any]]] = [
    # validator, error, what fits, what does not, what is of the wrong type
    (
        validate_id,
        InvalidIDError,
        [ID.new(), uuid.uuid4(), str(uuid.uuid4()), uuid.uuid4().bytes, Job("a")],
        ["", "x", b"", bytes(16), uuid.uuid1(), uuid.UUID(int=0), uuid.uuid4().hex],
        [None, 5, 1.5, True, [], object()],
    ),
    (
        validate_name,
        InvalidNameError,
        ["a", "Z", "9", "_.-", "a" * MAX_NAME],
        ["", "a" * (MAX_NAME + 1), "a b", "a\n", "é", "a\0"],
        [None, 5, b"a", ["a"], True],
    ),
    (
        validate_payload,
        InvalidPayloadError,
        [b"", bytes(MAX_PAYLOAD), bytearray(3), memoryview(b"x")],
        [bytes(MAX_PAYLOAD + 1), bytearray(MAX_PAYLOAD + 1)],
        [None, "a", 5, [1], True],
    ),
    (
        validate_result,
        InvalidResultError,
        [b"", bytes(MAX_RESULT), bytearray(3), memoryview(b"x")],
        [bytes(MAX_RESULT + 1), bytearray(MAX_RESULT + 1)],
        [None, "a", 5, [1], True],
    ),
    (
        validate_ttr,
        InvalidTTRError,
        [1, MAX_TTR, MS, DAY],
        [0, -1, MAX_TTR + 1, 2**70, timedelta(0), -MS, DAY + MS, timedelta(microseconds=999)],
        [None, "1", 1.0, True, False, b"1", NAIVE],
    ),
    (
        validate_ttl,
        InvalidTTLError,
        [1, MAX_TTL, MS, 30 * DAY],
        [0, -1, MAX_TTL + 1, 2**70, timedelta(0), -MS, 30 * DAY + MS, timedelta.max],
        [None, "1", 1.0, True, False, b"1", NAIVE],
    ),
    (
        validate_timeout,
        InvalidTimeoutError,
        [0, 1, MAX_TIMEOUT, timedelta(0), DAY, timedelta(microseconds=1)],
        [-1, MAX_TIMEOUT + 1, 2**70, -(2**70), -MS, DAY + MS, timedelta.min],
        [None, "1", 0.0, True, False, b"1", NAIVE],
    ),
    (
        validate_time,
        InvalidTimeError,
        [FAR, datetime.now(UTC) + DAY],
        [NAIVE, datetime(2020, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)],
        [None, 5, 1.5, "2100-01-01T00:00:00Z", FAR.date(), True],
    ),
]
NAMES = [validate.__name__ for validate, *_ in RULES]


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_both_sides(rule: tuple[Any, ...]) -> None:
    validate, error, fits, breaks, wrong_types = rule
    for value in fits:
        assert validate(value) is None
    for value in breaks:
        with pytest.raises(error) as caught:
            validate(value)
        assert type(caught.value) is error
    for value in wrong_types:
        with pytest.raises(error) as caught:
            validate(value)
        assert isinstance(caught.value, TypeError), value


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_one_argument(rule: tuple[Any, ...]) -> None:
    validate, _, fits, *_ = rule
    with pytest.raises(TypeError):
        validate()
    with pytest.raises(TypeError):
        validate(fits[0], fits[0])


def test_a_time_of_now_is_not_past() -> None:
    validate_time(datetime.now(UTC) + MS)
    with pytest.raises(InvalidTimeError, match="past"):
        validate_time(datetime.now(UTC) - MS)


# ---------------------------------------------------------------- whole jobs


@pytest.mark.parametrize("validate", [validate_add_job, validate_schedule_job, validate_run_job])
@pytest.mark.parametrize("thing", [None, "a", 5, ID.new(), object(), {}])
def test_anything_but_a_job(validate: Callable[[Any], None], thing: Any) -> None:
    with pytest.raises(TypeError):
        validate(thing)


def test_add_job() -> None:
    validate_add_job(Job("a"))
    validate_add_job(Job("a", time=FAR))
    now = datetime.now(UTC)
    validate_add_job(Job("a", ttl=60_000, created=now))
    with pytest.raises(InvalidTimeError):
        validate_add_job(Job("a", ttl=1000, created=now - timedelta(seconds=2)))
    validate_add_job(Job("a", ttl=1000, created=now - timedelta(seconds=2), time=FAR))


def test_schedule_job() -> None:
    validate_schedule_job(Job("a", time=FAR))
    now = datetime.now(UTC)
    validate_schedule_job(Job("a", time=now - MS))
    with pytest.raises(InvalidTimeError):
        validate_schedule_job(Job("a"))
    with pytest.raises(InvalidTimeError):
        validate_schedule_job(Job("a", ttl=1000, time=now - timedelta(seconds=2)))


def test_run_job_has_no_ttl() -> None:
    validate_run_job(Job("a"))
    validate_run_job(Job("a", ttl=1, created=datetime(2020, 1, 1, tzinfo=UTC)))


# ---------------------------------------------------------------- one rule stands in one place


def outcome(call: Callable[[], object]) -> str | None:
    """The text of the error, or None."""
    try:
        call()
    except ValidationError as error:
        return f"{type(error).__name__}: {error}"
    return None


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-5, 5), st.floats(), st.text(max_size=8),
    st.binary(max_size=20), st.timedeltas(), st.uuids(), st.datetimes(),
    st.datetimes(timezones=st.just(UTC)), st.text("abcXYZ019_.-", min_size=1, max_size=9),
)  # fmt: skip


@given(ANYTHING)
def test_the_constructor_says_the_same(value: Any) -> None:
    for name, validate in {
        "name": validate_name,
        "payload": validate_payload,
        "ttr": validate_ttr,
        "ttl": validate_ttl,
    }.items():
        fields = {"name": "a", name: value}
        assert outcome(lambda v=validate: v(value)) == outcome(lambda f=fields: Job(**f))
    if value is not None:
        assert outcome(lambda: validate_id(value)) == outcome(lambda: Job("a", id=value))
        assert outcome(lambda: validate_id(value)) == outcome(lambda: ID(value))


@given(ANYTHING)
def test_a_controller_says_the_same(value: Any) -> None:
    with jobqueue.Controller() as c:
        if value != "a":
            assert outcome(lambda: validate_timeout(value)) == outcome(
                lambda: expect_timeout(c, value)
            )
        job = Job("b")
        c.add(job)
        c.lease("b", 0)
        assert outcome(lambda: validate_result(value)) == outcome(lambda: c.complete(job, value))
        assert outcome(lambda: validate_name(value)) == outcome(lambda: c.peek(value))


def expect_timeout(c: jobqueue.Controller, timeout: Any) -> None:
    """A result that is there at once, whatever the timeout."""
    job = Job("a")
    c.add(job)
    c.complete(job)
    c.result(job, timeout)
