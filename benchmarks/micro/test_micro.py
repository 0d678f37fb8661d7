"""The micro cases under pytest-benchmark: pytest benchmarks/micro --benchmark-group-by=group."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.case import Case
from benchmarks.measure import one_core
from benchmarks.registry import MICRO

ROUNDS = 15


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in MICRO])
def test_micro(benchmark: Any, case: Case) -> None:
    run_case(benchmark, case, ROUNDS)


def run_case(benchmark: Any, case: Case, rounds: int) -> None:
    """One benchmark; ns an operation, and what the peer lacks, are among the extra figures."""
    reason = case.missing()
    if reason:
        pytest.skip(reason)
    benchmark.group = case.group
    kept = None if case.fresh else case.setup()
    used: list[Any] = []

    def setup() -> tuple[tuple[Any, ...], dict[str, Any]]:
        while used:
            case.teardown(used.pop())
        state = case.setup() if case.fresh else kept
        if case.fresh:
            used.append(state)
        return (state,), {}

    with one_core(case.one_core):
        benchmark.pedantic(case.run, setup=setup, rounds=rounds, warmup_rounds=1)
    for state in used or ([] if case.fresh else [kept]):
        case.teardown(state)
    benchmark.extra_info.update(
        operations=case.operations,
        ns_an_operation=benchmark.stats.stats.median * 1e9 / case.operations,
        lacks=case.lacks,
        best=case.best,
    )
