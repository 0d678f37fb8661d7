"""The whole life of one job: create, add, lease, complete, delete. One thread, 100-byte payload."""

from __future__ import annotations

from typing import Any

from benchmarks.case import Case
from benchmarks.contender import Contender
from benchmarks.contenders import CONTENDERS
from benchmarks.workload import payloads


def cycle_case(contender: Contender) -> Case:
    cycle = contender.cycle
    assert cycle is not None

    def setup() -> tuple[Any, list[bytes]]:
        return contender.open(), payloads(contender.cycle_operations)

    return Case(
        name=f"cycle/{contender.name}",
        setup=setup,
        run=lambda state: cycle(*state),
        operations=contender.cycle_operations,
        teardown=lambda state: contender.close(state[0]),
        title=contender.title,
        lacks=contender.lacks,
        best=contender.best,
        missing=contender.missing,
    )


CASES = tuple(cycle_case(contender) for contender in CONTENDERS if contender.cycle)
