"""A case is a piece of work that is timed; a probe is an observation made in a fresh process.

Cases and probes are named `group/engine` or `group/variant/engine`. The pytest-benchmark tests,
targets.py, compare.py and report.py all take them from registry.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def never_missing() -> str | None:
    return None


def leave(state: object) -> None:
    """Nothing to tear down."""


@dataclass(frozen=True, slots=True)
class Case:
    """Work that is timed: `run` does `operations` operations on what `setup` returned."""

    name: str
    setup: Callable[[], Any]
    run: Callable[[Any], Any]
    operations: int
    fresh: bool = False  # a new setup before every round, not one for all
    teardown: Callable[[Any], object] = leave
    title: str = ""
    lacks: str = ""  # what the engine does not do, for the report
    best: str = ""  # how it is used at its best
    missing: Callable[[], str | None] = never_missing
    one_core: bool = True  # pin the process while it runs

    @property
    def group(self) -> str:
        return self.name.rpartition("/")[0]

    @property
    def engine(self) -> str:
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Probe:
    """An observation that needs a process of its own; returns named figures (JSON)."""

    name: str
    measure: Callable[..., dict[str, Any]]
    title: str = ""
    lacks: str = ""
    missing: Callable[[], str | None] = never_missing
    one_core: bool = False

    @property
    def group(self) -> str:
        return self.name.rpartition("/")[0]

    @property
    def engine(self) -> str:
        return self.name.rpartition("/")[2]
