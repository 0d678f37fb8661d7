"""Every example in a docstring runs: of the Python modules, and of the native ones."""

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import jobqueue

FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def modules() -> list[str]:
    """All modules of the package, but those that do their work on import."""
    found = [module.name for module in pkgutil.walk_packages(jobqueue.__path__, "jobqueue.")]
    return ["jobqueue", *(name for name in found if not name.endswith("__main__"))]


def docstrings(module: Any) -> Iterator[tuple[str, str]]:
    """Docstrings of a module, its classes and functions, and their members.

    doctest's own finder passes over native functions and properties.
    """
    seen: set[int] = set()

    def visit(name: str, thing: Any) -> Iterator[tuple[str, str]]:
        if id(thing) in seen:
            return
        seen.add(id(thing))
        doc = getattr(thing, "__doc__", None)
        if isinstance(doc, str) and ">>>" in doc:
            yield name, doc
        if inspect.isclass(thing):
            for part, value in vars(thing).items():
                yield from visit(f"{name}.{part}", getattr(value, "__func__", value))

    yield from visit(module.__name__, module)
    for name, thing in vars(module).items():
        if getattr(thing, "__module__", None) == module.__name__:
            yield from visit(f"{module.__name__}.{name}", thing)


def examples() -> list[doctest.DocTest]:
    parser = doctest.DocTestParser()
    found = []
    for name in modules():
        module = importlib.import_module(name)
        for where, doc in docstrings(module):
            globs = {**{n: getattr(jobqueue, n) for n in jobqueue.__all__}, **vars(module)}
            found.append(parser.get_doctest(doc, globs, where, None, None))
    return found


EXAMPLES = examples()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example(example: doctest.DocTest) -> None:
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(example, out=report.append)
    assert runner.failures == 0, "\n".join(report)
    assert runner.tries > 0


def test_where_examples_must_be() -> None:
    """The types that people meet first show how they are used."""
    names = {example.name.rsplit(".", 1)[-1] for example in EXAMPLES}
    assert names >= {"jobqueue", "Controller", "Job", "ID", "ManualClock", "attempt", "WorkQueue"}
    assert len(EXAMPLES) >= 15
