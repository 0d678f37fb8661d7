"""The soak in short: threads, loops, cancellations, time-outs and failing handlers at once."""

import pytest

from tests.stress.soak import Soak


@pytest.mark.stress
def test_the_books_are_balanced(seed: int) -> None:
    """Whether memory is flat only a longer one shows: `make soak SECONDS=600`."""
    soak = Soak(seed)
    soak.run(2.0)
    soak.books()
    assert soak.struck
    soak.engine.close()
