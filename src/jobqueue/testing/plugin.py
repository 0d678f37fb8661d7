"""The conformance suite's side of pytest: `--engine`, skips by capability, a summary.

Loaded by the entry point in `_jobqueue_pytest.py` when the suite is asked for, or by
`pytest_plugins = ["jobqueue.testing.plugin"]` in the conftest.py of your own tests.
"""

import importlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn, TypeAlias

import pytest

from .harness import CAPABILITIES, Capability, Harness, Unavailable

__all__ = ["Factory", "Suite", "engines_of", "set_up_harness"]

Factory: TypeAlias = Callable[[], Harness]
"""Makes the harness of one test: a class without arguments will do."""

SUITE: Final = "jobqueue.testing.conformance"
FACTORIES: Final = pytest.StashKey[list[Factory]]()
PASSED: Final = "passed"

if SUITE not in sys.modules:  # then it is too late
    pytest.register_assert_rewrite(SUITE)  # whatever the files of tests are called elsewhere


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("jobqueue", "conformance suite of jobqueue").addoption(
        "--engine",
        action="append",
        default=[],
        metavar="MODULE:FACTORY",
        help="a jobqueue.testing.harness.Harness to test, or what makes one; more than once for"
        " several",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(*capabilities): what an engine must have beside what the test touches"
    )
    config.stash[FACTORIES] = [loaded(text) for text in config.getoption("--engine")]


def loaded(text: str) -> Factory:
    """What `module:factory` names."""
    module, colon, path = text.partition(":")
    if not (module and colon and path):
        raise pytest.UsageError(f"--engine wants module:factory, not {text!r}")
    if "" not in sys.path and os.getcwd() not in sys.path:  # noqa: PTH109 - as sys.path spells it
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - the same
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    if not callable(found):
        raise pytest.UsageError(f"--engine {text}: {found!r} makes no harness")
    factory: Factory = found
    return factory


def engines_of(config: pytest.Config) -> list[Factory]:
    """The engines named by `--engine`."""
    factories = config.stash[FACTORIES]
    if not factories:
        raise pytest.UsageError(
            "the conformance suite wants an engine: --engine module:factory, where the factory"
            " makes a jobqueue.testing.harness.Harness"
        )
    return factories


def name_of(factory: Factory) -> str:
    """What the engine is called in the names of its tests."""
    return str(getattr(factory, "name", getattr(factory, "__name__", "engine")))


def parametrize(metafunc: pytest.Metafunc, factories: Sequence[Factory]) -> None:
    """Run a test of the suite on each of the engines."""
    if "harness" in metafunc.fixturenames:
        names = [name_of(factory) for factory in factories]
        metafunc.parametrize("harness", factories, ids=names, indirect=True)


def set_up_harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """The body of the fixture `harness`."""
    try:
        harness: Harness = request.param()
    except Unavailable as error:
        pytest.skip(f"{name_of(request.param)} cannot run here: {error}")
    request.node.user_properties.append(("engine", harness.name))
    harness.on_lack = partial(skip, request.node)
    try:
        for marker in request.node.iter_markers("needs"):
            for capability in marker.args:
                harness.need(capability)
        yield harness
    finally:
        harness.close()


def skip(item: pytest.Item, capability: Capability) -> NoReturn:
    """Skip a test by the name of what its engine lacks."""
    item.user_properties.append(("lacks", capability))
    raise pytest.skip.Exception(
        f"lacks {capability}: {CAPABILITIES[capability]}", _use_item_location=True
    )


# ---------------------------------------------------------------- what came of it


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    outcomes: dict[str, Counter[str]] = {}
    lacking: dict[str, Counter[Capability]] = {}
    for outcome in (PASSED, "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            properties = dict(getattr(report, "user_properties", ()))
            if "engine" not in properties:
                continue
            engine = str(properties["engine"])
            outcomes.setdefault(engine, Counter())[outcome] += 1
            if outcome == "skipped" and "lacks" in properties:
                lacking.setdefault(engine, Counter())[properties["lacks"]] += 1
    if not outcomes:
        return
    terminalreporter.section("conformance of engines")
    for engine, counts in outcomes.items():
        shown = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        terminalreporter.line(f"{engine}: {shown}")
        for capability, count in lacking.get(engine, Counter[Capability]()).most_common():
            tests = "test" if count == 1 else "tests"
            terminalreporter.line(
                f"    lacks {capability}: {count} {tests} skipped. {CAPABILITIES[capability]}"
            )


# ---------------------------------------------------------------- within tests of one's own


class Suite(pytest.File):
    """The whole suite, collected where a conftest.py of your own says so.

    It is collected under a file of yours, whose conftest.py has the fixtures: import them from
    `jobqueue.testing.conformance.fixtures`, and name the engines in `pytest_generate_tests`.
    """

    def collect(self) -> Iterator[pytest.Module]:
        """One module for each file of the suite."""
        for path in sorted((Path(__file__).parent / "conformance").glob("test_*.py")):
            name = path.stem
            node_id = f"{self.nodeid}::{name}"
            yield SuiteModule.from_parent(self, path=self.path, name=name, nodeid=node_id)


class SuiteModule(pytest.Module):
    """A file of the suite.

    It has the path of the file that it is collected under, so that the hooks there are its own.
    """

    def _getobj(self) -> ModuleType:
        return importlib.import_module(f"{SUITE}.{self.name}")
