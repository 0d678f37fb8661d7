"""The macro cases and probes under pytest-benchmark: pytest benchmarks/macro."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import child
from benchmarks.case import Case, Probe
from benchmarks.micro.test_micro import run_case
from benchmarks.registry import MACRO, PROBES

ROUNDS = 5


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in MACRO])
def test_macro(benchmark: Any, case: Case) -> None:
    run_case(benchmark, case, ROUNDS)


@pytest.mark.parametrize("probe", [pytest.param(p, id=p.name) for p in PROBES.values()])
def test_probe(benchmark: Any, probe: Probe) -> None:
    """The time is that of the whole process; the figures are the extra ones."""
    reason = probe.missing()
    if reason:
        pytest.skip(reason)
    benchmark.group = probe.group
    figures = benchmark.pedantic(child.observe, args=(probe.name,), rounds=1)
    benchmark.extra_info.update(figures)
