"""The verbs of aio.Controller that do not wait pass on all they are given, for a subclass too."""

import inspect
from typing import Any

import pytest

from jobqueue import Controller
from jobqueue.aio._verbs import Verbs

VERBS = [name for name, verb in vars(Verbs).items() if callable(verb) and not name.startswith("_")]


class Recorder:
    """An engine that notes its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **named: Any) -> str:
            self.calls.append((name, args, named))
            return "returned"

        return call


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_passes_on_what_it_is_given(verb: str) -> None:
    assert hasattr(Controller, verb)
    passed_on = vars(Verbs)[verb]
    signature = inspect.signature(passed_on)
    parameters = [p for p in [*signature.parameters.values()][1:] if p.name != "wait"]  # refused
    args = tuple(object() for p in parameters if p.kind is not p.KEYWORD_ONLY)
    named = {p.name: object() for p in parameters if p.kind is p.KEYWORD_ONLY}
    verbs = Verbs.__new__(Verbs)
    verbs._engine = engine = Recorder()
    returned = passed_on(verbs, *args, **named)
    assert engine.calls == [(verb, args, named)]
    assert returned == (None if signature.return_annotation is None else "returned")
