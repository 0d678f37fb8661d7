"""The engine for asyncio: the same names and semantics, but what waits is awaited.

>>> import asyncio
>>> from jobqueue import aio
>>> async def main():
...     async with aio.Controller() as c:
...         c.add(Job("greet", b"world"))
...         async with c.attempt("greet", timeout=1000) as attempt:
...             attempt.complete(b"hello " + attempt.job.payload)
...         return await c.result(attempt.job, timeout=0)
>>> asyncio.run(main())
RunResult(success=True, result=b'hello world')
"""

from ..worker._tasks import Worker
from ._controller import Attempt, Controller

__all__ = ["Attempt", "Controller", "Worker"]
