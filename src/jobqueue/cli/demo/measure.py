"""The work of the demo: measure one source file. Pure: the same bytes give the same answer."""

import ast
import hashlib
import io
import json
import tokenize
from pathlib import Path
from typing import NamedTuple, TypedDict

# What reading, decoding, tokenizing and parsing raise for a file that is no Python of this version.
UNMEASURABLE = (
    SyntaxError,
    ValueError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,
    OSError,
)


class Measures(TypedDict):
    """What is measured of a file."""

    lines: int
    tokens: int
    functions: int
    sha256: str


class Answer(NamedTuple):
    """What a job comes to: the measures as JSON, or the reason why there are none."""

    success: bool
    text: bytes


def measure(source: bytes) -> Measures:
    """Count a source file's lines, tokens and functions.

    Raises:
        Exception: One of ``UNMEASURABLE``, if it is not Python source.

    """
    tree = ast.parse(source)
    return {
        "lines": len(source.splitlines()),
        "tokens": sum(1 for _ in tokenize.tokenize(io.BytesIO(source).readline)),
        "functions": sum(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree)
        ),
        "sha256": hashlib.sha256(source).hexdigest(),
    }


def answer(path: Path) -> Answer:
    """Measure the file and put the outcome into bytes."""
    try:
        return Answer(success=True, text=json.dumps(measure(path.read_bytes())).encode())
    except UNMEASURABLE as error:
        reason = f"{type(error).__name__}: {error}"
        return Answer(success=False, text=reason.encode(errors="backslashreplace"))
