"""NamedTuple, as typing has it, for modules that every program loads: typing takes 6 ms to import.

Such a module says

    TYPE_CHECKING = False
    if TYPE_CHECKING:
        from typing import NamedTuple
    else:
        from ._objects.named import NamedTuple

and has ``from __future__ import annotations``, so that what its annotations name need not be there.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["NamedTuple"]

BODY = frozenset({"__annotations__", "__module__", "__qualname__"})


class NamedTupleMeta(type):
    """Makes a named tuple of the annotated names of a class body, with its other names on top."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
        if not bases:
            return super().__new__(cls, name, bases, body)
        fields = list(body["__annotations__"])
        defaults = [body.pop(field) for field in fields if field in body]
        make: Callable[..., Any] = namedtuple  # noqa: PYI024 - typing is not to be loaded
        made: type[Any] = make(name, fields, defaults=defaults, module=body["__module__"])
        made.__annotations__ = body["__annotations__"]
        for key in body.keys() - BODY:
            setattr(made, key, body[key])
        return made


class NamedTuple(metaclass=NamedTupleMeta):
    """The base of a class body that says what the fields are."""
