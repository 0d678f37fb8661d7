"""The steps of a simulation. To add a verb, add its line to VERBS.

A line says how often it comes, draws its arguments, and, if the step is more than a call of the
controller's method of that name with these arguments, does it on one side.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from jobqueue import State
from tests.sim.draw import Draw
from tests.sim.sides import New, Old, Side

LEASED, PENDING, NEW = State.LEASED, State.PENDING, State.NEW
FAILED, COMPLETED = State.FAILED, State.COMPLETED

NOT_SIMULATED = {
    "by_hand": "a constant of the clock",
    "clock": "a constant",
    "closed": "close is a step, and what it says is compared",
    "add_now": "add, for callers who must not block",
    "fire_due": "the clock calls it",
    "is_paused": "queue_stats is compared",
    "next_deadline_ns": "compared after each step",
    "queues": "compared",
    "registry": "compared",
    "schedule_now": "schedule, for callers who must not block",
}
"""What a Controller has besides the verbs, and why it is no step."""


@dataclass(frozen=True)
class Verb:
    """A kind of step."""

    weight: float
    draw: Callable[[Draw], dict[str, Any]]
    do: Callable[..., Any] | None = None  # of the side and the arguments drawn
    native: bool = False  # not over foreign queues


# ---------------------------------------------------------------- arguments


def answer(draw: Draw) -> dict[str, Any]:
    id = draw.id(LEASED)
    return {"id": id, "result": draw.result(), "attempt": draw.attempt(id)}


def fail(draw: Draw) -> dict[str, Any]:
    delay = draw.duration() if draw.chance(0.3) else 0
    return {**answer(draw), "delay": delay, "final": draw.pick((None, None, None, True, False))}


def touch(draw: Draw) -> dict[str, Any]:
    id = draw.id(LEASED)
    ttr = None if draw.chance(0.5) else draw.duration()
    return {"id": id, "ttr": ttr, "attempt": draw.attempt(id)}


def release(draw: Draw) -> dict[str, Any]:
    id = draw.id(LEASED)
    return {"id": id, "delay": draw.duration(), "attempt": draw.attempt(id)}


def page(draw: Draw) -> dict[str, Any]:
    return {"name": draw.name(), "offset": draw.count(), "limit": draw.limit()}


def pairs(draw: Draw) -> dict[str, Any]:
    made: list[Any] = draw.some(lambda: (draw.id(LEASED, NEW), draw.result()))
    if draw.chance(0.05):
        made.append(draw.pick((5, (), (1, 2, 3), "ab")))
    return {"pairs": made}


def patience(draw: Draw) -> Any:
    return draw.duration() if draw.chance(0.7) else draw.rng.randrange(1, 3000)


def hand_made(draw: Draw) -> dict[str, Any]:
    job = draw.new()
    created = ("created", draw.world.now_ms() - draw.rng.randrange(9))
    options = [option for option in job.options if option[0] not in ("created", "unique")]
    fields = {
        "state": draw.pick((NEW, NEW, PENDING, PENDING, COMPLETED, FAILED)),
        "attempts": draw.rng.randrange(3),
        "fails": draw.rng.randrange(3),
    }
    return {"job": New(job.number, job.name, (*options, created)), "fields": fields}


def adding(draw: Draw) -> dict[str, Any]:
    return {"number": draw.number(), "what": draw.job(), "timeout": patience(draw)}


def limits(draw: Draw) -> dict[str, Any]:
    return {"name": draw.name(), "max_jobs": draw.bound(9), "max_bytes": draw.bound(9000)}


def observer(draw: Draw) -> dict[str, Any]:
    kinds = QUIET if draw.world.setting.foreign else QUIET + BUSY
    return {"number": draw.number(), "kind": draw.pick(kinds)}


def hook(draw: Draw) -> dict[str, Any]:
    return {"f": draw.pick((None, *HOOKS, *HOOKS, 5))}


# ---------------------------------------------------------------- steps that are more than a call


def delete(side: Side, id: Any) -> Any:
    return side.forget(lambda: side.engine.delete(id), [id])


def delete_many(side: Side, ids: list[Any]) -> Any:
    return side.forget(lambda: side.engine.delete_many(ids), ids)


def advance(side: Side, ms: float) -> Any:
    side.clock.advance(timedelta(milliseconds=ms))


def step(side: Side, ms: float) -> Any:
    side.clock.step(timedelta(milliseconds=ms))


def register(side: Side, job: Any, fields: dict[str, Any]) -> Any:
    taken = side.engine.registry.add(side.record(job, **fields))
    side.by_hand += taken and fields["state"] in (NEW, PENDING)
    return taken


def attempt(side: Side, names: Any, deeds: list[tuple[str, Any]]) -> Any:
    seen: list[Any] = []
    try:
        with side.engine.attempt(names, 0) as attempt:
            seen += [attempt.job, attempt.number, attempt.deadline]
            for deed, argument in deeds:
                if deed == "advance":
                    side.clock.advance(argument)
                elif deed == "raise":
                    raise argument  # noqa: TRY301 - as the body of the block does
                else:
                    seen.append(getattr(attempt, deed)(*argument))
                    seen.append(attempt.deadline if deed == "touch" else None)
    except KeyboardInterrupt:
        seen.append("interrupted")
    except Exception as error:  # noqa: BLE001 - what was seen until then is of interest too
        seen.append(side.failure(error))
    return seen


def deeds(draw: Draw) -> list[tuple[str, Any]]:
    """What a worker does with its attempt."""
    return draw.some(
        lambda: draw.pick(
            (
                ("complete", (b"done",)),
                ("complete", ()),
                ("fail", (b"broken",)),
                ("touch", (draw.pick((None, 1, 50)),)),
                ("release", (draw.pick((0, 5, 50)),)),
                ("advance", draw.pick((1, 5, 30))),
                ("raise", OSError("broken")),
                ("raise", KeyboardInterrupt()),
            )
        ),
        most=3,
    )


# ---------------------------------------------------------------- hooks

HOOKS = ("forward", "ignore", "raise", "raise later", "add", "delete", "lease", "advance", "unhook")
FEW = 20
"""Records above which a hook adds none: each may lead to the next."""


def handle(side: Side, timer: str, f: Any) -> Any:
    """Set a hook: one that does what its name says, besides what the timer would do."""
    replace = getattr(side.engine, f"handle_{timer}")
    if not isinstance(f, str):
        return replace(f)

    def call(id: Any) -> None:
        side.hook_calls += 1
        side.log.append((timer, side.plain(id)))
        if f == "raise":
            raise OSError(f)
        if f != "ignore":
            getattr(side.engine, timer)(id)
        number = -side.hook_calls
        match f:
            case "raise later":
                raise OSError(f)
            case "add" if len(side.engine.registry) < FEW:
                job = side.make(New(number, "a", (("ttl", 50), ("ttr", 3))))
                side.log.append(side.outcome(lambda: side.engine.add(job)))
            case "delete":
                other = side.make(Old(max(side.plain(id).number - 1, 1)))
                side.log.append(side.outcome(lambda: delete(side, other)))
            case "lease":
                side.log.append(side.outcome(lambda: side.engine.lease(["a", "b"], 0)))
            case "advance":
                side.clock.advance(1)
            case "unhook":
                replace(None)

    return replace(call)


# ---------------------------------------------------------------- observers

QUIET = ("look", "look", "raise", "stop", "no function")
BUSY = ("add", "delete", "lease", "fail", "cancel", "explain", "advance")
"""What an observer does with an event besides noting it. Over foreign queues it must not call the
controller: it is told while the verb is still under way."""
FEW_OBSERVERS = 3
BUSY_NUMBERS = -1000
OFTEN = 3
"""The part of the events, one in so many, with which an observer does something."""
TIRED = 60
"""Events after which it only looks: two of them could keep each other busy for ever."""


def observe(side: Side, number: int, kind: str) -> None:
    """Let an observer note what it is told."""
    if kind == "no function":
        side.engine.observe(kind)
    if len(side.observations) >= FEW_OBSERVERS:
        return
    told = 0

    def tell(event: Any) -> None:
        nonlocal told
        told += 1
        side.log.append((number, side.plain(event)))
        if told % OFTEN == 0 and told <= TIRED:
            side.log.append(side.outcome(lambda: busy(side, number, kind, event, told)))
            if kind == "raise":
                raise OSError(kind)

    side.observations[number] = side.engine.observe(tell)


def busy(side: Side, number: int, kind: str, event: Any, told: int) -> Any:
    """What an observer does with an event."""
    match kind:
        case "stop":
            stop(side, number)
        case "add" if len(side.engine.registry) < FEW:
            made = number * BUSY_NUMBERS - told
            side.engine.add(side.make(New(made, "a", (("ttl", 50), ("ttr", 3)))))
        case "delete":
            return delete(side, event.id)
        case "lease":
            return side.engine.lease(["a", "b"], 0)
        case "fail":
            side.engine.fail(event.id, b"observed")
        case "cancel":
            side.engine.cancel(event.id, b"observed")
        case "explain":
            return side.engine.explain(event.id)
        case "advance":
            side.clock.advance(1)
    return None


def stop(side: Side, number: int) -> None:
    if number in side.observations:
        side.observations.pop(number).stop()


# ---------------------------------------------------------------- the table

VERBS: dict[str, Verb] = {
    # in
    "add": Verb(10, lambda d: {"job": d.job()}),
    "add_many": Verb(3, lambda d: {"jobs": d.some(d.job)}),
    "schedule": Verb(6, lambda d: {"job": d.job()}),
    # out
    "lease": Verb(8, lambda d: {"names": d.names(), "timeout": 0}),
    "lease_many": Verb(3, lambda d: {"names": d.names(), "n": d.count(), "timeout": 0}),
    "start_attempt": Verb(2, lambda d: {"id": d.id(NEW, PENDING)}),
    "attempt": Verb(4, lambda d: {"names": d.names(), "deeds": deeds(d)}, attempt),
    # answers
    "complete": Verb(5, answer),
    "complete_many": Verb(2, pairs),
    "fail": Verb(5, fail),
    "touch": Verb(3, touch),
    "release": Verb(4, release),
    # waits
    "lease (waiting)": Verb(
        5,
        lambda d: {"number": d.number(), "what": d.names(), "timeout": patience(d)},
        lambda side, **arguments: side.begin(kind="lease", **arguments),
    ),
    "result": Verb(
        4,
        lambda d: {"number": d.number(), "what": d.id(NEW, LEASED), "timeout": patience(d)},
        lambda side, **arguments: side.begin(kind="result", **arguments),
    ),
    "run": Verb(
        4,
        lambda d: {"number": d.number(), "what": d.job(), "timeout": patience(d)},
        lambda side, **arguments: side.begin(kind="run", **arguments),
    ),
    "add (waiting)": Verb(
        4, adding, lambda side, **arguments: side.begin(kind="add", **arguments), native=True
    ),
    "schedule (waiting)": Verb(
        2, adding, lambda side, **arguments: side.begin(kind="schedule", **arguments), native=True
    ),
    "(end of a wait)": Verb(10, lambda d: {"number": d.wait()}, Side.end),
    "(giving up a wait)": Verb(1.5, lambda d: {"number": d.wait()}, Side.give_up),
    # ends
    "delete": Verb(2, lambda d: {"id": d.id()}, delete),
    "delete_many": Verb(1, lambda d: {"ids": d.some(d.id)}, delete_many),
    "expire": Verb(1.5, lambda d: {"id": d.id()}),
    "timeout_attempt": Verb(2, lambda d: {"id": d.id(LEASED)}),
    "dead": Verb(1, page),
    "kick": Verb(2, lambda d: {"id": d.id(FAILED)}),
    "cancel": Verb(2, lambda d: {"id": d.id(), "reason": d.result()}),
    # hooks
    "handle_expire": Verb(0.3, hook, lambda side, f: handle(side, "expire", f)),
    "handle_timeout_attempt": Verb(0.3, hook, lambda side, f: handle(side, "timeout_attempt", f)),
    "expire_func": Verb(
        0.5, lambda d: {"id": d.known()}, lambda side, id: side.engine.expire_func()(id.id)
    ),
    "timeout_attempt_func": Verb(
        0.5,
        lambda d: {"id": d.known(LEASED)},
        lambda side, id: side.engine.timeout_attempt_func()(id.id),
    ),
    # looking
    "peek": Verb(1, lambda d: {"name": d.name()}),
    "jobs": Verb(1, page),
    "scheduled_jobs": Verb(1, page),
    "names": Verb(0.5, lambda d: {}),
    "stats": Verb(0.5, lambda d: {}),
    "queue_stats": Verb(0.5, lambda d: {"name": d.name()}),
    "explain": Verb(3, lambda d: {"id": d.id()}),
    "observe": Verb(0.5, observer, observe),
    "(observing ends)": Verb(0.4, lambda d: {"number": d.observation()}, stop),
    "limit": Verb(0.7, limits, native=True),
    "pause": Verb(0.7, lambda d: {"name": d.name()}),
    "resume": Verb(1.2, lambda d: {"name": d.name()}),
    # the registry by hand
    "registry.add": Verb(1, hand_made, register),
    # time
    "(the clock moves on)": Verb(
        10, lambda d: {"ms": d.pick((0, 0.5, 1, 1, 2, 5, 10, 30, 100, 500))}, advance
    ),
    "(the clock moves far)": Verb(0.3, lambda d: {"ms": d.pick((2000, 10_000))}, advance),
    "(the wall clock is set)": Verb(
        1, lambda d: {"ms": d.pick((-200, -20, -1, 0.5, 1, 20, 200))}, step
    ),
    "close": Verb(0.01, lambda d: {}),
}
