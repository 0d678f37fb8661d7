"""Native code that only tests use: the builds of the Makefile have it, a wheel has not."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .skiplist_object import SkipList
else:
    SkipList = pytest.importorskip(
        "_jobqueue_skiplist_object", reason="a wheel has no native code for tests"
    ).SkipList

__all__ = ["SkipList"]
