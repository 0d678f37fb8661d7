"""beanstalkd, started by the benchmark, with greenstalk over a Unix socket."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contender import PRIORITY, TTR_MS, Contender

START_SECONDS = 5.0
LOWEST = 1 << 31  # beanstalkd serves small numbers first


@dataclass(slots=True)
class Server:
    """A running beanstalkd and a connection to it."""

    process: subprocess.Popen[bytes]
    client: Any
    folder: tempfile.TemporaryDirectory[str]


def open_server() -> Server:
    import greenstalk

    folder = tempfile.TemporaryDirectory(prefix="beanstalkd-")
    path = Path(folder.name) / "socket"
    process = subprocess.Popen(["beanstalkd", "-l", f"unix:{path}"])
    # The core that timed rounds are pinned to: from another one a round trip takes 2.5 times
    # as long.
    os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
    deadline = time.monotonic() + START_SECONDS
    while not path.is_socket():
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            raise RuntimeError("beanstalkd did not start")
        time.sleep(0.01)
    return Server(process, greenstalk.Client(str(path), encoding=None), folder)


def close_server(server: Server) -> None:
    server.client.close()
    server.process.terminate()
    server.process.wait(START_SECONDS)
    server.folder.cleanup()


def cycle(server: Server, payloads: Sequence[bytes]) -> None:
    client = server.client
    for payload in payloads:
        client.put(payload, priority=PRIORITY, ttr=TTR_MS // 1_000)
        job = client.reserve(timeout=0)
        client.delete(job)


def fill(server: Server, work: Iterable[tuple[bytes, int]]) -> None:
    for payload, priority in work:
        server.client.put(payload, priority=LOWEST - priority, ttr=TTR_MS // 1_000)


BEANSTALKD = Contender(
    name="beanstalkd",
    title="beanstalkd + greenstalk",
    best="no journal, Unix socket instead of TCP, one connection, client and server on one core",
    lacks="results, TTL; it is a server: each verb is a round trip to another process",
    needs=("/beanstalkd", "greenstalk"),
    open=open_server,
    close=close_server,
    cycle=cycle,
    cycle_operations=300,
    fill=fill,
    fill_count=100_000,
    server_pid=lambda server: server.process.pid,
)

CONTENDERS = (BEANSTALKD,)
