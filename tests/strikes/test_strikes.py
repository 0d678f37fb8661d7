"""An exception after each bytecode of each verb, on each engine.

In the suite each deed is struck at some of its bytecodes, with each seed at others; with --long
at all.
"""

import itertools
import random
import sys
from collections.abc import Iterator

import pytest

from tests.strikes import log_worlds  # noqa: F401 - it registers what is struck of the log
from tests.strikes.deeds import DEEDS, Deed
from tests.strikes.striker import Strike, count, strike
from tests.strikes.worlds import WORLDS, World, quiet

STRIKES = 6
"""Of one deed in one world, in the suite."""
CASES = [(world, deed) for deed in DEEDS for world in deed.worlds]
each_case = pytest.mark.parametrize(
    ("world", "deed"), CASES, ids=[f"{deed.name}, {world}" for world, deed in CASES]
)
pytestmark = [
    pytest.mark.struck,
    pytest.mark.skipif(
        sys.gettrace() is not None and sys.version_info < (3, 12),
        reason="another tracer is at work",
    ),
]


@pytest.fixture(autouse=True)
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strikes within what nobody can catch are expected; none is kept alive by being shown."""
    monkeypatch.setattr(sys, "unraisablehook", quiet)


def staged(kind: type[World], deed: Deed) -> World:
    world = kind()
    deed.scene(world)
    return world


def bytecodes(kind: type[World], deed: Deed) -> int:
    """How many a deed runs; its modules are loaded before they are counted."""
    for _ in range(2):
        world = staged(kind, deed)
        number = count(lambda world=world: world.do(deed.call))
        finish(world, deed)
    return number


def finish(world: World, deed: Deed) -> None:
    world.rest()
    if deed.check is not None and not world.c.closed:
        deed.check(world)
    world.check()


def strikes(number: int, rng: random.Random, *, long: bool) -> Iterator[int]:
    if long:
        yield from itertools.count(1)
    yield from sorted(rng.sample(range(1, number + 1), min(STRIKES, number)))


def test_there_is_something_to_strike() -> None:
    """Wherever the package is installed."""
    assert any(bytecodes(WORLDS[world], deed) > 0 for world, deed in CASES if deed.name == "close")


@each_case
@pytest.mark.parametrize("error", [Strike, RecursionError, MemoryError], ids=lambda e: e.__name__)
def test_an_exception_at_any_bytecode(
    world: str, deed: Deed, error: type[BaseException], rng: random.Random, long: bool
) -> None:
    kind = WORLDS[world]
    for at in strikes(bytecodes(kind, deed), rng, long=long):
        struck = staged(kind, deed)
        where, came = strike(lambda struck=struck: struck.do(deed.call), at, error)
        if not where:
            finish(struck, deed)
            return  # it has no more bytecodes
        assert came is None or isinstance(came, (error, Exception)), came
        try:
            finish(struck, deed)
        except BaseException as broken:
            broken.add_note(f"{deed.name}, {world}: struck at bytecode {at}, {where}: {came!r}")
            raise
