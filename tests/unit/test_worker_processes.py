"""Handlers in processes: what may happen to them, to what they start, and to their parent."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jobqueue import Controller, Job, State
from jobqueue.cmdlog import DurableController
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import wait_until
from jobqueue.worker import _processes as processes
from tests.shells import Shell

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and process groups")
every_shell = pytest.mark.parametrize("kind", ["threads", "tasks"])


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=["memory", "durable"])
def controller(request, tmp_path, clock):
    durable = request.param == "durable"
    made = DurableController(tmp_path / "log", clock=clock) if durable else Controller(clock=clock)
    with made as c:
        yield c
        c._check()


def processed(controller: Controller, job: Job) -> bytes:
    wait_until(lambda: controller.registry.record(job).processed(), "the result")
    return controller.registry.record(job).result


def gone(pid: int) -> bool:
    """Whether a process has ended; what nobody has reaped yet has."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return Path("/proc/self").is_dir()


def descriptors() -> int:
    """How many are open, if the system tells."""
    known = Path("/proc/self/fd")
    return len(list(known.iterdir())) if known.is_dir() else 0


def pid_in(path: Path) -> int:
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), "a process id")
    return int(path.read_text())


def write_pid(path: str, pid: int) -> None:
    Path(path).write_text(f"{pid}\n")


def shell_of(kind, controller, concurrency=1, **handlers):
    shell = Shell(kind, controller, concurrency=concurrency)
    for name, function in handlers.items():
        shell.handler(name, function, process=True)
    return shell


# ---------------------------------------------------------------- handlers


def fine(job):
    return str(os.getpid())


def forever():
    threading.Event().wait()


def leave_forked(job):
    """A process that has all that this one has open."""
    pid = os.fork()
    if pid == 0:
        forever()
    write_pid(job.payload.decode(), pid)
    forever()


def leave_daemon(job):
    """As above, in a session of its own: it is nobody's to end."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        write_pid(job.payload.decode(), os.getpid())
        forever()
    forever()


def leave_command(job):
    command = [sys.executable, "-c", "import threading; threading.Event().wait()"]
    write_pid(job.payload.decode(), subprocess.Popen(command).pid)
    forever()


def end_later(job):
    """Once the job is answered, the process ends, as if somebody had ended it while idle."""

    def end():
        while not Path(job.payload.decode()).exists():
            threading.Event().wait(0.01)
        os._exit(7)

    threading.Thread(target=end).start()
    return fine(job)


def die_once(job):
    """By a signal, the first time."""
    path, number = job.payload.decode().split()
    if not Path(path).exists():
        write_pid(path, os.getpid())
        os.kill(os.getpid(), int(number))
        forever()
    return b"second"


def end_at_once(job):
    os._exit(3)


def close_all(job):
    """As what turns a process into a daemon does. Its pipe is among it."""
    os.closerange(3, 256)
    return b"nobody hears it"


def strike_oneself(job):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    return f"{os.getpid()} {os.getpgrp()} {os.getsid(0)}"


def signals_of_a_command(job):
    script = "import signal; print(signal.getsignal(15), signal.getsignal(2))"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout


def signals_of_a_fork(job):
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def fork_and_return(job):
    """Twice returns what was called once; only one of them has the pipe."""
    return str(os.fork() == 0)


# ---------------------------------------------------------------- what a handler starts


@every_shell
@pytest.mark.parametrize("leave", [leave_forked, leave_command])
def test_what_a_handler_has_started_ends_with_it(controller, clock, kind, leave, tmp_path):
    """It holds what the process had open, and is ended with it at the end of the TTR."""
    pids = tmp_path / "pid"
    with shell_of(kind, controller, a=leave, ok=fine) as shell:
        job = Job("a", str(pids).encode(), ttr=900, max_attempts=1)
        controller.add(job)
        started = pid_in(pids)
        clock.advance(900)
        assert processed(controller, job) == b""
        controller.add(ok := Job("ok"))
        processed(controller, ok)
        wait_until(lambda: gone(started), "the end of what was started")
        assert shell.alive() == 1


@every_shell
def test_what_left_the_group_blocks_nobody(controller, clock, kind, tmp_path):
    pids = tmp_path / "pid"
    with shell_of(kind, controller, a=leave_daemon, ok=fine) as shell:
        job = Job("a", str(pids).encode(), ttr=900, max_attempts=1)
        controller.add(job)
        daemon = pid_in(pids)
        try:
            clock.advance(900)
            assert processed(controller, job) == b""
            controller.add(ok := Job("ok"))
            processed(controller, ok)
            assert (shell.alive(), shell.stop()) == (1, True)
            assert not gone(daemon)
        finally:
            os.kill(daemon, signal.SIGKILL)


@every_shell
def test_a_fork_that_returns_has_no_say(controller, kind):
    with shell_of(kind, controller, a=fork_and_return):
        jobs = [Job("a") for _ in range(3)]
        for job in jobs:
            controller.add(job)
            assert processed(controller, job) == b"False"


def test_signals_are_not_heard_and_not_passed_on(controller):
    handlers = {"self": strike_oneself, "command": signals_of_a_command, "fork": signals_of_a_fork}
    with shell_of("threads", controller, **handlers):
        jobs = {name: Job(name) for name in handlers}
        controller.add_many(jobs.values())
        results = {name: processed(controller, job).decode() for name, job in jobs.items()}
    pid, group, session = results["self"].split()
    assert pid == group == session != str(os.getsid(0))
    assert results["command"].startswith(f"{int(signal.SIG_DFL)} ")
    assert "default_int_handler" in results["command"]
    assert results["fork"] == str(-signal.SIGTERM)


# ---------------------------------------------------------------- how a process may end


@every_shell
def test_a_process_that_dies_idle_costs_nobody_anything(controller, kind, tmp_path):
    sign = tmp_path / "die"
    with shell_of(kind, controller, a=end_later, ok=fine) as shell:
        job, ok = Job("a", str(sign).encode()), Job("ok", max_attempts=1)
        controller.add(job)
        first = processed(controller, job)
        wait_until(lambda: shell.worker._processes._free)
        (child,) = shell.worker._processes._free
        sign.touch()
        wait_until(lambda: not child.alive(), "its death")
        controller.add(ok)
        assert processed(controller, ok) != first
        record = controller.registry.record(ok)
        assert (record.state, record.attempts, record.fails) == (State.COMPLETED, 1, 0)


@every_shell
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_process_that_is_killed_at_work_is_a_lost_attempt(controller, kind, number, tmp_path):
    job = Job("a", f"{tmp_path / 'pid'} {int(number)}".encode())
    with shell_of(kind, controller, a=die_once):
        controller.add(job)
        assert processed(controller, job) == b"second"
    record = controller.registry.record(job)
    assert (record.attempts, record.fails) == (2, 0)


@every_shell
@pytest.mark.parametrize(("handler", "code"), [(end_at_once, 3), (close_all, 0)])
def test_a_process_that_ends_of_itself_fails_its_job(controller, kind, handler, code):
    job = Job("a")
    with shell_of(kind, controller, a=handler) as shell:
        controller.add(job)
        assert f"exit code {code}" in json.loads(processed(controller, job))["message"]
        assert shell.alive() == 1
    assert controller.registry.record(job).state == State.FAILED


def test_a_crash_fails_its_job(controller, tmp_path):
    job = Job("a", f"{tmp_path / 'pid'} {int(signal.SIGSEGV)}".encode())
    with shell_of("threads", controller, a=die_once):
        controller.add(job)
        why = json.loads(processed(controller, job))
    assert why["message"] == "the process of the handler ended by SIGSEGV"


@every_shell
def test_a_process_that_cannot_be_started_is_tried_again(controller, clock, kind, monkeypatch):
    shell = shell_of(kind, controller, a=fine)
    with shell:
        monkeypatch.setattr("jobqueue.worker._processes.Child", lambda *_: 1 / 0)
        job = Job("a")
        controller.add(job)
        wait_until(lambda: shell.worker._renewals.pauses)
        monkeypatch.undo()
        clock.advance(500)
        processed(controller, job)
        assert controller.registry.record(job).fails == 0
        assert shell.alive() == 1


def test_a_process_that_starts_slowly_outlives_the_lease_of_its_first_job(
    controller, clock, monkeypatch
):
    """Else a job whose TTR is shorter than the start of a process would never be done."""
    go, waiting = threading.Event(), []
    receive = processes.Child.receive

    def slowly(child):
        """It is ready, and that is not seen for a while; unless somebody wakes who waits."""
        waiting.append(child)
        while not child.used and not go.is_set():
            if child._woken.poll(0.01):
                return None
        return receive(child)

    monkeypatch.setattr(processes.Child, "receive", slowly)
    job = Job("a", ttr=300)
    with shell_of("threads", controller, a=fine) as shell:
        controller.add(job)
        for attempt in (1, 2, 3):
            wait_until(lambda attempt=attempt: len(waiting) >= attempt)
            clock.advance(300)
        assert controller.registry.record(job).fails == 0
        go.set()
        pid = int(processed(controller, job))
        (child,) = shell.worker._processes._free
        assert child._process.pid == pid


@pytest.mark.skipif(not hasattr(signal, "SIGCHLD"), reason="no SIGCHLD here")
def test_a_program_that_reaps_its_children_itself(controller, tmp_path):
    """Their exit codes are then not to be had; that they are dead is known all the same."""
    kept = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        job, ok = Job("a", f"{tmp_path / 'pid'} {int(signal.SIGKILL)}".encode()), Job("ok")
        with shell_of("threads", controller, a=die_once, ok=fine) as shell:
            controller.add(job)
            assert processed(controller, job) == b"second"
            (child,) = shell.worker._processes._free
            os.kill(child._process.pid, signal.SIGKILL)
            wait_until(lambda: not child.alive(), "its death")
            controller.add(ok)
            processed(controller, ok)
            assert controller.registry.record(ok).attempts == 1
    finally:
        signal.signal(signal.SIGCHLD, kept)


@every_shell
def test_nothing_is_left_after_stop(controller, kind, tmp_path):
    """No process, and no descriptor, of those that lived and of those that were killed."""
    for name in range(2):  # the first round opens what stays open, the tracker of resources
        before = descriptors()
        shell = shell_of(kind, controller, concurrency=2, a=leave_forked, ok=fine).start()
        oks = [Job("ok") for _ in range(6)]
        controller.add_many(oks)
        pids = {int(processed(controller, job)) for job in oks}
        path = tmp_path / str(name)
        job = Job("a", str(path).encode(), ttr=60_000)
        controller.add(job)
        started = pid_in(path)
        assert shell.stop(0) is False
        assert controller.registry.record(job).state == State.PENDING
        controller.delete(job)
        for pid in (*pids, started):
            wait_until(lambda pid=pid: gone(pid), "the end of a process")
        wait_until(lambda shell=shell: shell.alive() == 0)
        shell.close()
    wait_until(lambda: descriptors() <= before, "closed descriptors")


# ---------------------------------------------------------------- the parent

PROGRAM = """
import os, sys
from jobqueue import Controller, Job
from jobqueue.worker import Worker
from tests.unit import test_worker_processes as handlers

if __name__ == "__main__":
    c = Controller()
    worker = Worker(c, concurrency=2)
    worker.handler("ok", process=True)(handlers.fine)
    worker.handler("a", process=True)(handlers.leave_forked)
    how, path = sys.argv[1:]
    job = Job("a", path.encode(), ttr=60_000)
    if how == "run":
        c.add(job)
        print("drained", worker.run(), c.registry.record(job).state.name,
              c.registry.record(job).fails, flush=True)
    else:
        worker.start()
        print(c.run(Job("ok"), 60_000).result.decode(), flush=True)
        c.add(job)
        if how == "exit":
            handlers.pid_in(handlers.Path(path))
        else:
            sys.stdin.read()
"""


def program(tmp_path, how):
    script, pids = tmp_path / "program.py", tmp_path / "pid"
    script.write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, str(script), how, str(pids)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])},
        cwd=Path(__file__).parents[2],
    )
    return process, pids


def test_kill_9_of_the_parent_leaves_nothing_behind(tmp_path):
    process, pids = program(tmp_path, "wait")
    with process:
        child = int(process.stdout.readline())
        started = pid_in(pids)
        process.kill()
        for pid in (child, started):
            wait_until(lambda pid=pid: gone(pid), "the end of a process")


def test_the_end_of_a_program_waits_for_no_process(tmp_path, monkeypatch):
    """Its worker was never stopped. What runs is released, after the drain of an exit."""
    process, pids = program(tmp_path, "exit")
    with process:
        child = int(process.stdout.readline())
        started = pid_in(pids)
        assert process.wait(60) == 0
        for pid in (child, started):
            wait_until(lambda pid=pid: gone(pid), "the end of a process")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_fails_nothing(tmp_path, number):
    process, pids = program(tmp_path, "run")
    with process:
        started = pid_in(pids)
        os.killpg(process.pid, number)
        os.killpg(process.pid, signal.SIGTERM if number == signal.SIGINT else signal.SIGINT)
        assert process.stdout.read() == "drained False PENDING 0\n"
        wait_until(lambda: gone(started), "the end of what was started")
    assert process.returncode == 0
