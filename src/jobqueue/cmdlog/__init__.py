"""The command log: a Controller whose jobs outlive its process and, if asked, its machine.

>>> import tempfile
>>> from jobqueue import Job
>>> with tempfile.TemporaryDirectory() as path:
...     with DurableController(path) as c:
...         c.add(Job("mail", b"to: you"))
...     with DurableController(path) as c:
...         c.lease("mail", timeout=0).payload
b'to: you'
"""

from ._controller import DurableController, ReplayedController, replay
from ._errors import CommandLogError, DamagedLogError
from ._recover import Recovery, Torn

__all__ = [
    "CommandLogError",
    "DamagedLogError",
    "DurableController",
    "Recovery",
    "ReplayedController",
    "Torn",
    "replay",
]


def _seen_by_freezers() -> None:
    """Never called: see jobqueue/__init__.py."""
    import errno  # noqa: F401, PLC0415

    from . import _disk, _format, _journal, _replay, _segments  # noqa: F401, PLC0415
