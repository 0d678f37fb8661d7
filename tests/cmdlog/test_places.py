"""Where users are: paths, forks, locks, directories that go away, disks that take pages back."""

import gc
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobqueue import Job
from jobqueue.cmdlog import CommandLogError, DurableController
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import wait_until
from tests.cmdlog.workload import open_log

posix = pytest.mark.skipif(sys.platform == "win32", reason="of POSIX")
SYNCS = pytest.mark.parametrize("sync", ["always", "os"])


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# ---------------------------------------------------------------- paths


def test_a_relative_path_is_that_of_the_start(tmp_path, clock, monkeypatch):
    """Segments that were begun after a change of directory were looked for elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with open_log(Path("log"), clock, sync="os") as c:
        monkeypatch.chdir(tmp_path / "elsewhere")
        jobs = [Job("a", bytes(1000)) for _ in range(200)]
        for job in jobs:
            c.add(job)
        c.compact()
    assert not list((tmp_path / "elsewhere").iterdir())
    with open_log(tmp_path / "log", clock) as c:
        assert c.jobs("a", 0, 1000) == jobs


def test_a_tilde_is_the_home_of_the_user(tmp_path, clock, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with open_log(Path("~/log"), clock) as c:
        c.add(Job("a"))
    assert (tmp_path / "log" / "000000001.cmdlog").exists()


@posix
def test_files_are_the_owners_alone(tmp_path, clock):
    before = os.umask(0)
    try:
        with open_log(tmp_path / "log", clock) as c:
            c.add(Job("a"))
            c.compact()
            for path in (tmp_path / "log").iterdir():
                assert path.stat().st_mode & 0o777 == 0o600, path
    finally:
        os.umask(before)


def test_the_root_of_a_file_system_is_an_empty_directory(tmp_path, clock):
    (tmp_path / "lost+found").mkdir()
    with open_log(tmp_path, clock) as c:
        c.add(Job("a"))
    with open_log(tmp_path, clock) as c:
        assert len(c.jobs("a")) == 1


# ---------------------------------------------------------------- locks and directories


@posix
def test_a_lock_file_that_is_removed_lets_nobody_in(tmp_path, clock):
    with open_log(tmp_path, clock) as c:
        (tmp_path / "lock").unlink()
        with pytest.raises(CommandLogError, match="open already"):
            open_log(tmp_path, clock)
        with pytest.raises(CommandLogError, match="lock file was removed or replaced"):
            add_until_refused(c)


def add_until_refused(c: DurableController) -> None:
    """Another change may be made before the log looks, but no segment is begun."""
    number = c._log.number
    while c._log.number == number:
        c.add(Job("a", bytes(1000)))
    raise AssertionError("a segment was begun")


@posix
@SYNCS
def test_a_directory_that_is_removed_ends_the_log(tmp_path, clock, sync):
    path = tmp_path / "log"
    with open_log(path, clock, sync=sync) as c:
        c.add(Job("a"))
        shutil.rmtree(path)
        if sync == "always":
            assert refuses(c)
        wait_until(lambda: refuses(c), "a look at the directory")
        with pytest.raises(CommandLogError, match="removed"):
            c.add(Job("a"))


def refuses(c: DurableController) -> bool:
    try:
        c.add(Job("a"))
    except CommandLogError as error:
        return "removed" in str(error)
    return False


@posix
def test_a_log_that_is_busy_sees_that_its_directory_is_gone(tmp_path, clock):
    path = tmp_path / "log"
    with open_log(path, clock, sync="os", segment_size=1 << 30) as c:
        c.add(Job("a"))
        shutil.rmtree(path)
        number = 0
        with pytest.raises(CommandLogError, match="removed"):
            while number < 10**7:
                c.add(job := Job("a"))
                c.delete(job)
                number += 1
        with pytest.raises(CommandLogError, match="removed"):
            c.add(Job("a"))


def test_a_log_that_was_dropped_is_free(tmp_path, clock):
    """As when a cell of a notebook runs twice."""
    for number in range(3):
        c = open_log(tmp_path, clock, sync="os", segment_size=64 << 10)
        for _ in range(100):
            c.add(Job("a", bytes(1000)))
        assert c.stats().records == 100 * (number + 1)
        if number % 2:
            cycle = [c]
            cycle.append(cycle)  # type: ignore[arg-type]
            del cycle
        del c
    gc.collect()


def test_the_interpreter_ends_with_a_log_open(tmp_path):
    script = """
import sys, tempfile
from jobqueue import Job
from jobqueue.cmdlog import DurableController
kept = []
class Last:
    def __del__(self):
        kept[0].add(Job("last"))
for number, sync in enumerate(("always", "interval", "os")):
    c = DurableController(f"{sys.argv[1]}/{sync}", sync=sync, segment_size=1 << 16)
    for _ in range(300):
        c.add(Job("a", bytes(1000)))
    c.observe(print).stop()
    kept.append(c)
last = Last()
import atexit
atexit.register(lambda: kept[1].add(Job("a")))
"""
    done = run(script, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for sync in ("always", "interval", "os"):
        with DurableController(tmp_path / sync) as c:
            assert len(c.jobs("a", 0, 1000)) == 300 + (sync == "interval")


# ---------------------------------------------------------------- forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("fork", ["os.fork", "ctypes.PyDLL(None).fork"])
@SYNCS
def test_the_child_of_a_fork_changes_nothing(tmp_path, fork, sync):
    """Also where Python does not know that there was one."""
    script = f"""
import ctypes, os, sys
from jobqueue import Job
from jobqueue.cmdlog import CommandLogError, DurableController
from jobqueue.testing import ManualClock
# No timer thread: one that waits for the GIL when it is forked behind Python's back does for ever.
c = DurableController(sys.argv[1], sync={sync!r}, segment_size=1 << 16, clock=ManualClock())
c.add(Job("parent"))
pid = {fork}()
if pid == 0:
    refused = 0
    for change in (lambda: c.add(Job("child")), lambda: c.pause("parent"),
                   lambda: c.lease("parent", 0), c.compact, lambda: c.add(Job("child"))):
        try:
            change()
        except CommandLogError as error:
            refused += "fork" in str(error)
    c._log.close()
    try:
        DurableController(sys.argv[1]).close()
    except CommandLogError as error:
        refused += "open already" in str(error)
    os._exit(10 + refused)
_, status = os.waitpid(pid, 0)
for _ in range(100):
    c.add(Job("parent", bytes(1000)))
c.close()
print(os.waitstatus_to_exitcode(status))
"""
    done = run(script, tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "16"), done.stderr
    with DurableController(tmp_path, clock=ManualClock()) as c:
        assert c.stats().ready == len(c.jobs("parent", 0, 1000)) == 101
        assert not c.queue_stats("parent").paused


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("fork", ["os.fork", "ctypes.PyDLL(None).fork"])
def test_a_child_does_not_hold_the_log_of_its_parent(tmp_path, fork):
    script = f"""
import ctypes, os, sys
from jobqueue import Job
from jobqueue.cmdlog import DurableController
c = DurableController(sys.argv[1])
c.add(Job("a"))
go, ready = os.pipe()
pid = {fork}()
if pid == 0:
    os.read(go, 1)
    os._exit(0)
del c
import gc; gc.collect()
with DurableController(sys.argv[1]) as c:
    print(len(c.jobs("a")))
os.write(ready, b"x")
os.waitpid(pid, 0)
"""
    done = run(script, tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr


# ---------------------------------------------------------------- strange disks


@posix
@SYNCS
def test_a_segment_that_is_cut_while_it_is_mapped_is_an_error(tmp_path, sync):
    """A store into it raises SIGBUS."""
    script = f"""
import os, sys
from jobqueue import Job
from jobqueue.cmdlog import CommandLogError, DurableController
c = DurableController(sys.argv[1], sync={sync!r})
c.add(Job("a"))
os.truncate(sys.argv[1] + "/000000001.cmdlog", 0)
for _ in range(2):
    try:
        for _ in range(1000):
            c.add(Job("a", bytes(1000)))
    except CommandLogError as error:
        print("refused")
c.close()
"""
    done = run(script, tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, ["refused"] * 2), done.stderr


@posix
@pytest.mark.parametrize("handler", ["pass", "faulthandler.enable()"])
def test_a_bus_error_that_is_not_the_logs_still_ends_the_process(tmp_path, handler):
    script = f"""
import ctypes, faulthandler, mmap, os, sys
from jobqueue.cmdlog import DurableController
{handler}
c = DurableController(sys.argv[1] + "/log")
with open(sys.argv[1] + "/file", "w+b") as file:
    file.truncate(1 << 16)
    memory = mmap.mmap(file.fileno(), 1 << 16)
    file.truncate(0)
    memory[0] = 1
"""
    done = run(script, tmp_path)
    assert done.returncode == -signal.SIGBUS


@posix
def test_a_bus_error_that_somebody_sends_goes_to_who_was_there_before(tmp_path):
    script = """
import os, signal, sys
signal.signal(signal.SIGBUS, lambda number, frame: print("told", flush=True))
from jobqueue.cmdlog import DurableController
with DurableController(sys.argv[1]):
    os.kill(os.getpid(), signal.SIGBUS)
"""
    done = run(script, tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "told"), done.stderr


@posix
def test_a_process_that_may_open_no_more_files_goes_on(tmp_path):
    script = """
import os, resource, sys
from jobqueue import Job
from jobqueue.cmdlog import DurableController
c = DurableController(sys.argv[1], sync="os", segment_size=1 << 16)
c.add(Job("a"))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
for _ in range(300):
    c.add(Job("a", bytes(1000)))
c.compact()
print(c._log.number)
c.close()
for fd in taken:
    os.close(fd)
"""
    done = run(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3
    with DurableController(tmp_path) as c:
        assert len(c.jobs("a", 0, 1000)) == 301


def refusing(number: int) -> bytes:
    """The source of a library that lets calls of a file system fail, as some do not have them."""
    return f"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int fallocate(int fd, int mode, off_t offset, off_t size) {{ errno = {number}; return -1; }}
int fallocate64(int fd, int mode, off_t offset, off_t size) {{ errno = {number}; return -1; }}
int posix_fallocate(int fd, off_t offset, off_t size) {{ return {number}; }}
int posix_fallocate64(int fd, off_t offset, off_t size) {{ return {number}; }}
int fsync(int fd) {{
    struct stat found;
    if (fstat(fd, &found) == 0 && S_ISDIR(found.st_mode)) {{ errno = EINVAL; return -1; }}
    return syscall(SYS_fsync, fd);
}}
""".encode()


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
@pytest.mark.parametrize("name", ["EOPNOTSUPP", "EINVAL", "ENOSYS"])
def test_a_file_system_without_reservation_and_syncs_of_directories_is_served(tmp_path, name):
    import errno

    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    source, library = tmp_path / "refusing.c", tmp_path / "refusing.so"
    source.write_bytes(refusing(getattr(errno, name)))
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    script = """
import sys
from jobqueue import Job
from jobqueue.cmdlog import DurableController
for _ in range(2):
    with DurableController(sys.argv[1], segment_size=1 << 16) as c:
        for _ in range(100):
            c.add(Job("a", bytes(1000)))
        c.compact()
print(c._log.number)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "log")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"LD_PRELOAD": str(library)},
    )
    assert done.returncode == 0, done.stderr
    with DurableController(tmp_path / "log") as c:
        assert len(c.jobs("a", 0, 1000)) == 200
