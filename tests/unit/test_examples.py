"""The examples run: the service under a real server, the reminders in virtual time."""

import hashlib
import importlib.util
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from jobqueue import Controller, State
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def examples_are_found(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.skipif(
    importlib.util.find_spec("uvicorn") is None, reason="uvicorn is not installed here"
)
def test_service():
    import httpx
    import uvicorn

    from examples.service import app, queue

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, "the server")
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            expected = hashlib.sha256(b"payload").hexdigest()
            assert client.post("/hash", content=b"payload").text == expected
            answer = client.post("/jobs", content=b"payload")
            assert answer.status_code == 202
            where = f"/jobs/{answer.json()['id']}"
            wait_until(lambda: client.get(where).status_code == 200, "the result")
            assert client.get(where).json() == {"success": True, "result": expected}
            assert client.get("/jobs/00000000-0000-4000-8000-000000000000").status_code == 404
            assert client.get("/jobs/nonsense").status_code == 404
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()
    assert queue.closed
    for module in ("examples.service", "examples"):  # its queue is closed for good
        del sys.modules[module]


def test_crawler(tmp_path):
    from examples.crawler import crawl

    expected = {}
    for number in range(30):
        folder = tmp_path / str(number % 5) / str(number)
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(bytes(number))
        expected[str(folder)] = number
    sizes = crawl(tmp_path)
    assert {name: size for name, size in sizes.items() if name in expected} == expected
    assert len(sizes) == 36


def test_reminders():
    """A reminder that cannot be delivered comes again after one minute, then after two."""
    from examples.reminders import Reminders

    clock = ManualClock()
    start, said, tries = clock.now, [], []

    def deliver(text: str) -> None:
        tries.append(clock.now - start)
        if len(tries) < 3:
            raise ConnectionError("not at home")
        said.append(text)

    with Controller(clock=clock) as queue:
        reminders = Reminders(queue, deliver)
        job = reminders.remind("tea", start + timedelta(hours=1))
        with reminders.worker:
            for number, minutes in enumerate([60, 1, 2], 1):
                clock.advance(timedelta(minutes=minutes))
                wait_until(lambda number=number: len(tries) == number)
                wait_until(lambda: queue.stats().running == 0)
        assert queue.registry.record(job).state == State.COMPLETED
    assert said == ["tea"]
    assert tries == [timedelta(minutes=minutes) for minutes in (60, 61, 63)]
