"""The short form of ``make crash``."""

import os
import random

import pytest

from jobqueue.cmdlog import DurableController
from tests.crash.cycle import Book, cycle

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.mark.parametrize("sync", ["always", "interval", "os"])
def test_what_was_acknowledged_survives_kill_9(tmp_path, seed, sync):
    book = Book()
    rng = random.Random(f"{seed}")
    for _ in range(20):
        cycle(tmp_path / "log", sync, book, rng)
    assert book.calls > 100


def test_a_lost_job_is_noticed(tmp_path, seed):
    """The book compares in earnest."""
    book = Book()
    rng = random.Random(f"{seed}")
    while not book.told:  # a child may be killed before anything was acknowledged
        cycle(tmp_path / "log", "os", book, rng)
    with DurableController(tmp_path / "log", sync="os") as controller:
        lost = next(iter(book.told))
        controller.delete(lost)
        with pytest.raises(AssertionError, match=lost.hex()):
            book.check(controller)
