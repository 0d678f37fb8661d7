"""A verb at a bytecode of another, as a handler of a signal calls it: both are done, everywhere."""

import random
from typing import Any

import pytest

from jobqueue import Job
from tests.cmdlog.test_reentrance import Caller
from tests.strikes.deeds import DEEDS, PLAIN, Deed
from tests.strikes.test_strikes import bytecodes, finish, pytestmark, staged, strikes
from tests.strikes.worlds import WORLDS, World

__all__ = ["pytestmark"]

OUTER = ("add", "add many", "lease", "release", "fail", "delete", "observe", "look")
CASES = [(w, d) for d in DEEDS if d.name in OUTER for w in d.worlds if w in PLAIN]


def adds(w: World) -> None:
    """Add, lease and delete: what is astray over foreign queues is settled by it, too."""
    w.c.add(job := Job("nested"))
    assert w.c.lease("nested", 0) == job
    w.c.delete(job)


def observes(w: World) -> None:
    w.c.observe(lambda _: None).stop()


@pytest.mark.parametrize(
    ("world", "deed"), CASES, ids=[f"{deed.name}, {world}" for world, deed in CASES]
)
@pytest.mark.parametrize("inner", [adds, observes])
def test_a_verb_at_any_bytecode_of_another(
    world: str, deed: Deed, inner: Any, rng: random.Random, long: bool
) -> None:
    kind = WORLDS[world]
    for at in strikes(bytecodes(kind, deed), rng, long=long):
        w = staged(kind, deed)
        caller = Caller(at, lambda w=w: inner(w))
        with caller.watching():
            w.do(deed.call)
        try:
            finish(w, deed)
        except BaseException as broken:
            broken.add_note(f"{deed.name}, {world}: at bytecode {at}, {caller.where}")
            raise
        if not caller.done:
            return
