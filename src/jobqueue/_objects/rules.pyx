"""Each rule of a single value, once: names, payloads, keys, durations, times, ids.

``Job(...)``, the validators and the verbs call the same function. A value is read once, and its fields
rather than what a subclass says of them. Each rule raises its own error, which is a TypeError, too,
for a value of the wrong type.
"""

from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.datetime cimport (
    PyDateTime_Check, PyDelta_Check, datetime_day, datetime_hour, datetime_microsecond,
    datetime_minute, datetime_month, datetime_second, datetime_year, import_datetime,
    timedelta_days, timedelta_microseconds, timedelta_seconds,
)
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.unicode cimport PyUnicode_Check
from libc.stdint cimport int64_t, uint8_t

from jobqueue._structures.platform cimport small_int
from jobqueue._structures.times cimport TIME_MAX_NS, TTL_MAX_MS
from jobqueue._machine.types cimport (
    ATTEMPTS_MAX, FAILS_MAX, NAME_MAX_LEN, PAYLOAD_MAX_SIZE, RESULT_MAX_SIZE, TIMEOUT_MAX_MS,
    TTR_MAX_MS, UNIQUE_MAX_SIZE,
)

from datetime import datetime, timedelta, timezone

from .. import errors as _errors

# Looked up once: these are arguments on the hot path.
cdef object InvalidNameError = _errors.InvalidNameError
cdef object InvalidPayloadError = _errors.InvalidPayloadError
cdef object InvalidResultError = _errors.InvalidResultError
cdef object InvalidTTLError = _errors.InvalidTTLError
cdef object InvalidTTRError = _errors.InvalidTTRError
cdef object InvalidTimeoutError = _errors.InvalidTimeoutError
cdef object InvalidUniqueError = _errors.InvalidUniqueError

cdef object EPOCH_NAIVE = datetime(1970, 1, 1)
cdef object utcoffset_of = datetime.utcoffset
import_datetime()

# ---------------------------------------------------------------- times of others

cdef int64_t time_read(object value, str what) except? -1:
    """The rule of times: an aware datetime between 1678 and 2262; returns wall ns.

    Its fields are read, not what a subclass says of them, and its timezone is asked once.
    """
    cdef int64_t us, seconds
    if not PyDateTime_Check(value):
        _errors.raise_wrong_type(
            _errors.InvalidTimeError, what, "an aware datetime", value)
    offset = utcoffset_of(value)
    if offset is None:
        raise _errors.InvalidTimeError(
            f"{what} must have a timezone, but {_errors.shown(value)} is naive; datetime.now(UTC) has one")
    us = delta_us(datetime(
        datetime_year(value), datetime_month(value), datetime_day(value), datetime_hour(value),
        datetime_minute(value), datetime_second(value), datetime_microsecond(value)) - EPOCH_NAIVE)
    us -= delta_us(offset)
    seconds = us // 1000000 - (us % 1000000 < 0)
    if not -9214000000 < seconds < TIME_MAX_NS // 1000000000:
        raise _errors.InvalidTimeError(f"{what} must be from 1678 to 2262, not {_errors.shown(value)}")
    return us * 1000


cdef int64_t delta_us(object delta) noexcept:
    """A timedelta, whatever a subclass says of itself, in microseconds."""
    return ((<int64_t> timedelta_days(delta) * 86400 + timedelta_seconds(delta)) * 1000000
            + timedelta_microseconds(delta))


cdef int64_t clock_read(object value, str what) except? -1:
    """What a clock says, brought into the range of times. What 64 bits do not hold is no time: such
    a clock is broken, and must not end all that is."""
    cdef int overflow = 0
    cdef int64_t ns
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what}() of a clock must return an int of ns, not {_errors.shown(value)}")
    ns = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow:
        raise _errors.InvalidTimeError(
            f"{what}() of a clock must return what 64 bits of ns hold, not {_errors.shown(value)}")
    return min(max(ns, -TIME_MAX_NS), TIME_MAX_NS)


MAX_NAME = NAME_MAX_LEN
MAX_PAYLOAD = PAYLOAD_MAX_SIZE
MAX_RESULT = RESULT_MAX_SIZE
MAX_ATTEMPTS = ATTEMPTS_MAX
MAX_FAILS = FAILS_MAX
MAX_UNIQUE = UNIQUE_MAX_SIZE
MAX_TTR = TTR_MAX_MS
MAX_TTL = TTL_MAX_MS
MAX_TIMEOUT = TIMEOUT_MAX_MS
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
import_datetime()
cdef str MS_WANTED = "an int of ms or a timedelta"

# ---------------------------------------------------------------- rules

cdef uint8_t NAME_CHARS[256]


for _c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-":
    NAME_CHARS[<int> ord(_c)] = 1


cdef str name_read(object value):
    """The rule of names: 1 to 255 of ``[A-Za-z0-9_.-]``; returns it as an exact str."""
    cdef Py_ssize_t size, i
    cdef const uint8_t *s
    cdef uint8_t ok = 1
    if not PyUnicode_Check(value):
        _errors.raise_wrong_type(InvalidNameError, "name", "a str", value)
    if type(value) is not str:
        value = str.__str__(value)
    if is_ascii(value):
        size = ascii_size(value)
        s = ascii_data(value)
        if 0 < size <= NAME_MAX_LEN:
            for i in range(size):
                ok &= NAME_CHARS[s[i]]
            if ok:
                return <str> value
    if len(value) > NAME_MAX_LEN:
        raise InvalidNameError(
            f"name must have 1 to {NAME_MAX_LEN} characters, not {len(value)}: "
            f"{_errors.shown(value)}")
    raise InvalidNameError(
        f"name must be 1 to {NAME_MAX_LEN} of A-Z a-z 0-9 _ . -, not {_errors.shown(value)}")


cdef bytes bytes_read(object value, Py_ssize_t size_max, error, str what):
    """The rule of payloads and results: bytes-like, at most so many; returns exact bytes."""
    cdef Py_ssize_t size = 0
    cdef bytes copied = b""
    if PyBytes_CheckExact(value):
        copied = <bytes> value
        size = PyBytes_GET_SIZE(copied)
    elif PyObject_CheckBuffer(value):
        try:
            view = memoryview(value)  # what it shows cannot be resized meanwhile
            size = view.nbytes
            copied = view.tobytes() if size <= size_max else b""
            size = max(size, PyBytes_GET_SIZE(copied))
        except (BufferError, ValueError) as reason:  # released, or of a format nobody knows
            raise error(f"{what} must be bytes-like, and this cannot be read: {reason}") from None
    else:
        _errors.raise_wrong_type(error, what, "bytes-like", value)
    if size > size_max:
        raise error(f"{what} must have at most {size_max} bytes, not {size}")
    return copied


cdef bytes payload_read_other(object value):
    return bytes_read(value, PAYLOAD_MAX_SIZE, InvalidPayloadError, "payload")


cdef bytes result_read_other(object value):
    return bytes_read(value, RESULT_MAX_SIZE, InvalidResultError, "result")


cdef bytes reason_read(object value):
    """Why a job ended: as a result."""
    return bytes_read(value, RESULT_MAX_SIZE, InvalidResultError, "reason")


cdef int64_t int_read_other(
        object value, int64_t low, int64_t high, error, str what) except? -1:
    cdef int overflow = 0
    cdef int64_t number
    if not is_int(value):
        _errors.raise_wrong_type(error, what, "an int", value)
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or number < low or number > high:
        _errors.raise_out_of_range(error, what, value, low, high, "")
    return number


cdef inline int64_t ms_read(object value, int64_t low, int64_t high, error, str what) except? -1:
    cdef int64_t ms
    if small_int(value, &ms) and low <= ms <= high:
        return ms
    return ms_read_other(value, low, high, error, what)


cdef int64_t ms_read_other(
        object value, int64_t low, int64_t high, error, str what) except? -1:
    """The rule of durations: an int of ms, or a timedelta, which is rounded down to ms."""
    cdef int overflow = 0
    cdef int64_t number = 0
    if is_int(value):
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
    elif PyDelta_Check(value):  # its fields, not what a subclass says of them
        number = ((<int64_t> timedelta_days(value) * 86400 + timedelta_seconds(value)) * 1000
                  + timedelta_microseconds(value) // 1000)
    else:
        _errors.raise_wrong_type(error, what, MS_WANTED, value)
    if overflow or number < low or number > high:
        _errors.raise_out_of_range(error, what, value, low, high, " ms")
    return number


cdef int64_t timeout_read_other(object value, str what) except -1:
    return ms_read(value, 0, TIMEOUT_MAX_MS, InvalidTimeoutError, what)


cdef int64_t ttr_read(object value) except -1:
    return ms_read(value, 1, TTR_MAX_MS, InvalidTTRError, "ttr")


cdef int64_t ttl_read(object value, int64_t low, str what) except -2:
    return ms_read(value, low, TTL_MAX_MS, InvalidTTLError, what)


cdef object time_object(int64_t ns):
    """An aware UTC datetime of wall ns, rounded down to microseconds."""
    cdef int64_t us = ns // 1000 - (ns % 1000 < 0)
    return EPOCH + timedelta(microseconds=us)


def to_datetime(int64_t ns):
    """An aware UTC datetime of wall ns, rounded down to microseconds."""
    return time_object(ns)

# ---------------------------------------------------------------- the same rules, for validation.py

def check_name(value):
    """The name, as an exact str."""
    return name_read(value)


def check_payload(value):
    payload_read(value)


def check_result(value):
    result_read(value)


def check_unique(value):
    unique_read(value)


def check_ttr(value):
    ttr_read(value)


def check_ttl(value):
    ttl_read(value, 1, "ttl")


def check_timeout(value):
    timeout_read(value, "timeout")


def check_time(value):
    """Wall ns of a valid time."""
    return time_read(value, "time")

# ---------------------------------------------------------------- Job

cdef bytes unique_read(object value):
    """The rule of keys: bytes-like, 1 to 255 of them; returns exact bytes."""
    cdef bytes key = bytes_read(value, UNIQUE_MAX_SIZE, InvalidUniqueError, "unique")
    if not key:
        raise InvalidUniqueError(f"unique must have 1 to {UNIQUE_MAX_SIZE} bytes, not 0")
    return key
