from typing import TypeVar

_E = TypeVar("_E", bound=Exception)

def _at_index(error: _E, index: int) -> _E: ...
