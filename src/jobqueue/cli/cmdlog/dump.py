"""One record of a command log as a dictionary; docs/cmdlog_format.md has the bytes."""

import struct
import uuid
from collections.abc import Callable
from typing import Any, Final

ID: Final = 16
JOB: Final = struct.Struct("<16sqqIIiBBBBBI")
STATE: Final = struct.Struct("<BBHQIqqI")
CLOCK: Final = struct.Struct("<qq")
NO_TIME: Final = 2**63 - 1
TTL_RUNS, SCHEDULED, HAS_RESULT = 1, 2, 4


def _identity(body: bytes) -> dict[str, Any]:
    return {"id": str(uuid.UUID(bytes=body[:ID]))}


def _state(body: bytes) -> dict[str, Any]:
    from jobqueue import State

    state, flags, fails, attempts, _, when_ns, ttl_ns, size = STATE.unpack_from(body)
    return {
        "state": State(state).name,
        "attempts": attempts,
        "fails": fails,
        **({"due_ns": when_ns} if flags & SCHEDULED else {}),
        **({"ttr_deadline_ns": when_ns} if state == State.LEASED else {}),
        **({"ttl_deadline_ns": ttl_ns} if flags & TTL_RUNS else {}),
        **({"result_size": size} if flags & HAS_RESULT else {}),
    }


def _job(body: bytes) -> dict[str, Any]:
    fields = JOB.unpack_from(body)
    _, created_ns, time_ns, ttr, ttl, priority, attempts, fails, _, name, key, payload = fields
    at = JOB.size
    return {
        **_identity(body),
        "name": body[at : at + name].decode("ascii", "replace"),
        "created_ns": created_ns,
        "time_ns": None if time_ns == NO_TIME else time_ns,
        "ttr": ttr,
        "ttl": ttl,
        "priority": priority,
        "max_attempts": attempts,
        "max_fails": fails,
        "unique": body[at + name : at + name + key].hex() if key else None,
        "payload_size": payload,
        **_state(body[at + name + key + payload :]),
    }


def _clock(body: bytes) -> dict[str, Any]:
    offset_ns, wall_ns = CLOCK.unpack(body)
    return {"wall_minus_monotonic_ns": offset_ns, "wall_ns": wall_ns}


def _pause(body: bytes) -> dict[str, Any]:
    return {"name": body[1:].decode("ascii", "replace"), "paused": bool(body[0])}


def _end(body: bytes) -> dict[str, Any]:
    """Version 1 does not tell when."""
    whole_at, when = body[:8], body[8:]
    told = {"wall_ns": int.from_bytes(when, "little")} if when else {}
    return {"whole_at": int.from_bytes(whole_at, "little"), **told}


SHOW: Final[dict[str, Callable[[bytes], dict[str, Any]]]] = {
    "job": _job,
    "state": lambda body: _identity(body) | _state(body[ID:]),
    "gone": _identity,
    "clock": _clock,
    "pause": _pause,
    "dead": _identity,
    "batch end": lambda _: {},
    "end": _end,
}


def entry(kind: str, body: bytes) -> dict[str, Any]:
    """Give what the body of a record says. Payloads and results are not shown, only their sizes."""
    return SHOW[kind](body)
