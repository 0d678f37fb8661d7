"""Blocked calls burn no CPU. Real time: in a process of its own."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, threading, time
from datetime import UTC, datetime, timedelta
from jobqueue import Controller, Job

c = Controller()
c.add(Job("other"))  # the timer thread runs, and sleeps towards a TTL
job = Job("b", ttr=60_000)
SCHEDULE
calls = [lambda: c.lease("a", 60_000)] * LEASERS + [
    lambda: c.result(job, 60_000), lambda: c.run(Job("c"), 60_000)]
c.add(job)
c.lease("b", 0)
threads = [threading.Thread(target=call, daemon=True) for call in calls]
for thread in threads:
    thread.start()
while c.stats().waiting < LEASERS or c.stats().records < 3:
    time.sleep(0.01)
time.sleep(0.2)
before = time.process_time()
time.sleep(2)
print(json.dumps((time.process_time() - before) * 1000), flush=True)
import os
os._exit(0)
"""


MAIN = """
import json, time
from jobqueue import Controller, WaitTimeoutError
c = Controller()
before = time.process_time()
try:
    c.lease("a", 2000)
except WaitTimeoutError:
    print(json.dumps((time.process_time() - before) * 1000))
c.close()
"""


def test_the_main_thread_looks_for_signals_at_little_cost() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAIN], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) < 5


@pytest.mark.stress
@pytest.mark.parametrize("leasers", [1, 20])
@pytest.mark.parametrize("scheduled", [False, True])
def test_two_seconds_of_waiting_burn_less_than_5_ms(leasers: int, scheduled: bool) -> None:
    """With a scheduled job there, the wall clock is watched too, for steps."""
    schedule = 'c.schedule(Job("s", time=datetime.now(UTC) + timedelta(hours=1)))'
    script = SCRIPT.replace("LEASERS", str(leasers)).replace(
        "SCHEDULE", schedule if scheduled else ""
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) < 5
