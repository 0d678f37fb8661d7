"""A web service that queues work and answers with the result, in one process.

    pip install jobqueue starlette uvicorn
    uvicorn examples.service:app

POST /hash waits for the result; POST /jobs answers at once, and GET /jobs/ID says how it went.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jobqueue import Job, NotFoundError, WaitTimeoutError, aio
from jobqueue.worker import Attempt

queue = aio.Controller(result_ttl=60_000)
worker = aio.Worker(queue, concurrency=10)


@worker.handler("hash")
async def digest(attempt: Attempt) -> str:
    """The work. A long one would be a handler with ``process=True``."""
    return hashlib.sha256(attempt.job.payload).hexdigest()


async def run(request: Request) -> Response:
    """Queue, wait for the result, answer with it. A client that goes away takes its job along."""
    job = Job("hash", await request.body(), ttr=5_000)
    try:
        outcome = await queue.run(job, timeout=2_000)
    except WaitTimeoutError:
        return Response("busy", status_code=503)
    return Response(outcome.result, status_code=200 if outcome.success else 500)


async def submit(request: Request) -> Response:
    """Queue, and answer with where to ask."""
    job = Job("hash", await request.body(), max_fails=3)
    queue.add(job)
    return JSONResponse({"id": str(job.id)}, status_code=202)


async def status(request: Request) -> Response:
    """The result of a job; 204 while there is none."""
    try:
        outcome = await queue.result(request.path_params["id"], timeout=0)
    except (NotFoundError, ValueError):
        return Response(status_code=404)
    except WaitTimeoutError:
        return Response(status_code=204)
    return JSONResponse({"success": outcome.success, "result": outcome.result.decode()})


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """The worker lives as long as the service; what runs when that stops is finished first."""
    async with worker:
        yield
    queue.close()


app = Starlette(
    routes=[
        Route("/hash", run, methods=["POST"]),
        Route("/jobs", submit, methods=["POST"]),
        Route("/jobs/{id}", status),
    ],
    lifespan=lifespan,
)
