"""Makes a failing list of steps short: delta debugging (Zeller, Hildebrandt 2002, section 3).

Steps are data, so our own forty lines do what hypothesis would need the whole run for: it keeps the
choices of a test in a buffer of some thousand, an episode has more, and a run has ten million.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.sim.sides import New
from tests.sim.world import Step


def shrink(steps: list[Step], fails: Callable[[list[Step]], bool]) -> list[Step]:
    """The steps without which it fails no more, each as simple as can be."""
    steps = without(steps, fails)
    for index in range(len(steps)):
        for simpler in simplified(steps[index]):
            changed = [*steps[:index], simpler, *steps[index + 1 :]]
            if fails(changed):
                steps = changed
    return without(without_pauses(steps, fails), fails)


def without_pauses(steps: list[Step], fails: Callable[[list[Step]], bool]) -> list[Step]:
    """Let one move of the clock stand for those that follow each other."""
    index = 1
    while index < len(steps):
        pair = steps[index - 1 : index + 1]
        if all(step.verb.startswith("(the clock moves") for step in pair):
            ms = sum(step.arguments["ms"] for step in pair)
            fewer = [*steps[: index - 1], Step("(the clock moves on)", {"ms": ms})]
            fewer += steps[index + 1 :]
            if fails(fewer):
                steps = fewer
                continue
        index += 1
    return steps


def without(steps: list[Step], fails: Callable[[list[Step]], bool]) -> list[Step]:
    """Leave out pieces, big ones first, for as long as it fails all the same."""
    size = max(len(steps) // 2, 1)
    while True:
        before = len(steps)
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if fails(fewer):
                steps = fewer
            else:
                at += size
        if size > 1:
            size //= 2
        elif len(steps) == before:
            return steps


def simplified(step: Step) -> Iterator[Step]:
    """A step with one thing less, many times."""
    for key, value in step.arguments.items():
        for simpler in simpler_values(value):
            step = Step(step.verb, {**step.arguments, key: simpler})
            yield step


def simpler_values(value: Any) -> Iterator[Any]:
    match value:
        case New(options=options):
            for option in options:
                if option[0] == "created":
                    continue  # a record made by hand is not stamped by the engine
                yield replace(value, options=tuple(o for o in value.options if o is not option))
        case [_, *_]:
            for index in range(len(value)):
                yield [*value[:index], *value[index + 1 :]]
