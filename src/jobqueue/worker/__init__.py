"""Workers: they lease jobs, call a handler for each name, and answer for it.

>>> from jobqueue.worker import Worker
>>> with Controller() as c:
...     worker = Worker(c, {"greet": lambda attempt: b"hello " + attempt.job.payload})
...     with worker:
...         c.run(Job("greet", b"world"), timeout=1000)
RunResult(success=True, result=b'hello world')
"""

from ._attempt import Attempt
from ._handlers import Handler
from ._retry import Retry
from ._threads import Worker

__all__ = ["Attempt", "Handler", "Retry", "Worker"]
