"""What is struck: each deed has a scene that is set before, and a call.

A deed may leave things in ``world.kept`` for its own check, which runs before that of the world.
Register more with ``deed``; a new engine is a subclass of worlds.World, named in WORLDS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobqueue import Job, WaitTimeoutError
from tests.strikes.worlds import MS, Awaiting, World


@dataclass(frozen=True)
class Deed:
    """A call to strike."""

    name: str
    call: Callable[[Any], object]
    scene: Callable[[Any], object]
    worlds: tuple[str, ...]
    check: Callable[[Any], object] | None


DEEDS: list[Deed] = []
PLAIN = ("native", "threaded", "foreign", "foreign, threaded", "durable", "durable, threaded")
BY_HAND = ("native", "foreign", "durable")
BY_ITSELF = ("threaded", "foreign, threaded", "durable, threaded")
LOOPS = ("asyncio",)


def nothing(_: Any) -> None:
    """No scene."""


def deed(
    *worlds: str,
    scene: Callable[[Any], object] = nothing,
    check: Callable[[Any], object] | None = None,
) -> Callable[[Callable[[Any], object]], Callable[[Any], object]]:
    """Decorate a call that is to be struck in the worlds that are named."""

    def register(call: Callable[[Any], object]) -> Callable[[Any], object]:
        name = call.__name__.replace("_", " ")
        DEEDS.append(Deed(name, call, scene, worlds or PLAIN, check))
        return call

    return register


# ---------------------------------------------------------------- scenes


def stocked(w: World) -> None:
    """Jobs in each state: ready, leased, dead, later."""
    w.kept["ready"] = [Job("a", max_fails=3) for _ in range(3)]
    w.c.add_many([leased := Job("l", max_fails=3), dead := Job("d"), *w.kept["ready"]])
    w.c.lease("l", 0)
    w.c.fail(w.c.lease("d", 0), b"no")
    w.kept |= {"leased": leased, "dead": dead}


def waited_for(w: World) -> None:
    """Two leasers wait in other threads."""
    w.blocked(w.c.lease, "a", 60_000)
    w.blocked(w.c.lease, ["b", "a"], 60_000)


def all_woken(w: World) -> None:
    """Every leaser whose job is leased has it."""
    w.c.add_many([Job("a") for _ in w.calls])
    for call in w.calls:
        assert call.outcome() is not None


def watched(w: World) -> None:
    w.kept["seen"] = []
    w.kept["observation"] = w.c.observe(w.kept["seen"].append)


def falls_due(w: World) -> None:
    """A lease and a TTL that are over soon, and a time that comes."""
    w.c.add(Job("t", ttr=50))
    w.c.lease("t", 0)
    w.c.add(Job("e", ttl=50))
    w.c.schedule(Job("s", time=w.clock.now + 50 * MS))


def hooked(w: World) -> None:
    """The same, under hooks as the docs have them."""
    falls_due(w)
    w.c.handle_timeout_attempt(lambda id: [w.c.timeout_attempt(id)])
    w.c.handle_expire(lambda id: [w.c.expire(id)])


def all_over(w: World) -> None:
    """What fell due happened, or happens a while later."""
    w.clock.advance(2000)
    assert w.c.stats().running == 0
    assert not w.c.jobs("e")
    assert len(w.c.jobs("t")) == len(w.c.jobs("s")) == 1


# ---------------------------------------------------------------- plain calls


@deed()
def make(w: World) -> None:
    w.kept["other"] = w.make()
    w.kept.pop("other").close()


@deed()
def add(w: World) -> None:
    w.c.add(Job("a"))


@deed(scene=waited_for, check=all_woken)
def add_to_leasers(w: World) -> None:
    w.c.add(Job("a"))


@deed()
def add_with_wait(w: World) -> None:
    w.c.add(Job("a"), wait=10)


@deed()
def add_many(w: World) -> None:
    w.c.add_many([Job("a"), Job("b"), Job("a")])


@deed()
def schedule(w: World) -> None:
    w.c.schedule(Job("a", time=w.now() + 50 * MS))


@deed(scene=stocked)
def lease(w: World) -> None:
    w.c.lease("a", 0)


@deed(scene=stocked)
def lease_of_names(w: World) -> None:
    w.c.lease(["a", "b"], 0)


@deed(scene=stocked)
def lease_many(w: World) -> None:
    w.c.lease_many(["a", "b"], 5, 0)


@deed()
def lease_in_vain(w: World) -> None:
    try:
        w.c.lease("a", 0 if w.clock is not None else 1)
    except WaitTimeoutError:
        pass


@deed(scene=stocked)
def attempt(w: World) -> None:
    with w.c.attempt("a", 0) as attempt:
        attempt.touch()
        attempt.complete(b"done")


@deed(scene=stocked)
def attempt_that_raises(w: World) -> None:
    try:
        with w.c.attempt("a", 0):
            raise OSError("of the handler")  # noqa: TRY301 - the block of an attempt raises
    except OSError:
        pass


@deed(scene=stocked)
def start_attempt(w: World) -> None:
    w.c.start_attempt(w.kept["ready"][0])


@deed(scene=stocked)
def complete(w: World) -> None:
    w.c.complete(w.kept["leased"], b"done", attempt=1)


@deed(scene=stocked)
def complete_many(w: World) -> None:
    w.c.complete_many([(w.kept["leased"], b"1"), (w.kept["ready"][0], b"2")])


@deed(scene=stocked)
def fail(w: World) -> None:
    w.c.fail(w.kept["leased"], b"no")


@deed(scene=stocked)
def fail_with_delay(w: World) -> None:
    w.c.fail(w.kept["leased"], b"no", delay=500)


@deed(scene=stocked)
def release(w: World) -> None:
    w.c.release(w.kept["leased"])


@deed(scene=stocked)
def kick(w: World) -> None:
    w.c.kick(w.kept["dead"])


@deed(scene=stocked)
def cancel(w: World) -> None:
    w.c.cancel(w.kept["leased"], b"no")


@deed(scene=stocked)
def delete(w: World) -> None:
    w.c.delete(w.kept["ready"][1])


@deed(scene=stocked)
def delete_many(w: World) -> None:
    w.c.delete_many([w.kept["leased"], w.kept["ready"][2]])


@deed(scene=stocked)
def expire(w: World) -> None:
    w.c.expire(w.kept["ready"][0])


@deed(scene=stocked)
def timeout_attempt(w: World) -> None:
    w.c.timeout_attempt(w.kept["leased"])


@deed(scene=stocked)
def pause_and_resume(w: World) -> None:
    w.c.pause("a")
    w.c.resume("a")


@deed(scene=stocked)
def look(w: World) -> None:
    w.c.peek("a")
    w.c.jobs("a")
    w.c.dead("d")
    w.c.stats()
    w.c.names()
    w.c.queue_stats("a")
    str(w.c.explain(w.kept["leased"]))


@deed(scene=stocked)
def result(w: World) -> None:
    w.c.result(w.kept["dead"], 0)


@deed(*BY_HAND)
def run_in_vain(w: World) -> None:
    try:
        w.c.run(Job("r"), 0)
    except WaitTimeoutError:
        pass


@deed(*BY_ITSELF, scene=lambda w: w.blocked(served, w.c))
def run(w: World) -> None:
    assert w.c.run(Job("r"), 60_000).result == b"done"


def served(c: Any) -> None:
    c.complete(c.lease("r", 60_000), b"done")


@deed(scene=watched)
def add_while_observed(w: World) -> None:
    w.c.add(Job("a"))
    w.c.delete(w.c.lease("a", 0))


@deed()
def observe(w: World) -> None:
    with w.c.observe(w.kept.setdefault("seen", []).append):
        w.c.add(Job("a"))


@deed(scene=stocked)
def close(w: World) -> None:
    w.c.close()


@deed(scene=waited_for)
def close_with_leasers(w: World) -> None:
    w.c.close()


# ---------------------------------------------------------------- what time does


@deed(*BY_HAND, scene=falls_due, check=all_over)
def advance(w: World) -> None:
    w.clock.advance(100)


@deed(*BY_HAND, scene=hooked, check=all_over)
def advance_with_hooks(w: World) -> None:
    w.clock.advance(100)


# ---------------------------------------------------------------- asyncio


def tasks_wait(w: Awaiting) -> None:
    w.kept["tasks"] = [w.task(w.engine.lease("a", 60_000)) for _ in range(2)]


@deed(*LOOPS)
def awaited_lease_in_vain(w: Awaiting) -> None:
    try:
        w.run(w.engine.lease("a", 1))
    except WaitTimeoutError:
        pass


@deed(*LOOPS, scene=tasks_wait)
def add_to_tasks(w: Awaiting) -> None:
    w.c.add(Job("a"))
    w.wait(w.kept["tasks"][0])


async def handed(w: Awaiting) -> None:
    """A task waits, another adds what it gets."""
    import asyncio

    task = asyncio.ensure_future(w.engine.lease("a", 60_000))
    await asyncio.sleep(0)
    w.engine.add(Job("a"))
    w.engine.complete(await task, b"done")


@deed(*LOOPS)
def hand_off_between_tasks(w: Awaiting) -> None:
    w.wait(w.loop.create_task(handed(w)))


async def worked(w: Awaiting) -> None:
    w.engine.add(job := Job("a"))
    async with w.engine.attempt("a", 1000) as attempt:
        attempt.complete(b"done")
    await w.engine.result(job, 1000)


@deed(*LOOPS)
def awaited_attempt(w: Awaiting) -> None:
    w.wait(w.loop.create_task(worked(w)))


@deed(*LOOPS)
def awaited_run(w: Awaiting) -> None:
    try:
        w.run(w.engine.run(Job("r"), 1))
    except WaitTimeoutError:
        pass
