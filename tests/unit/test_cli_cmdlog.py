"""`python -m jobqueue cmdlog`: what it shows, what it refuses."""

import json
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from jobqueue import Job
from jobqueue.cli import main
from jobqueue.cmdlog import DurableController
from jobqueue.cmdlog._format import SIZES, records


@pytest.fixture
def log(tmp_path: Path) -> Path:
    with DurableController(tmp_path / "log") as c:
        c.add_many([Job("mail", b"to: you", unique=b"k", priority=3), Job("mail"), Job("video")])
        c.complete(c.lease("video", 0), b"done")
        c.fail(c.lease("mail", 0), b"why")
        c.pause("mail")
        c.compact()
        c.delete(c.peek("mail"))
    return tmp_path / "log"


def damage(log: Path, number: int = 1) -> None:
    path = log / "000000002.cmdlog"
    data = bytearray(path.read_bytes())
    at = [offset for offset, *_ in records(data, SIZES["header"])][-number]
    data[at + 30] ^= 1
    path.write_bytes(data)


def run(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    assert main(["cmdlog", *argv]) == code
    shown = capsys.readouterr()
    return shown.out if code == 0 else shown.err


def test_info(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "info", str(log), "--json"))
    assert found["jobs"] == 2
    assert found["states"] == {"COMPLETED": 1, "FAILED": 1}
    assert found["queues"]["mail"] == {"ready": 0, "scheduled": 0, "dead": 1}
    assert list(found["files"]) == ["000000002.snapshot", "000000002.cmdlog"]
    assert "jobs: 2\n" in run(capsys, "info", str(log))


def test_check_of_a_whole_log(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(run(capsys, "check", str(log), "--json"))["whole"] is True
    assert run(capsys, "check", str(log)).startswith("whole: True\n")


def test_check_tells_of_a_torn_tail(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (log / "000000002.cmdlog").open("ab") as file:
        file.write(b"half a record")
    assert json.loads(run(capsys, "check", str(log), "--json"))["torn"]["size"] == 13


def test_check_names_damage_and_repair_goes_on(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(log, 2)
    assert "is damaged at byte" in run(capsys, "check", str(log), code=1)
    assert "damaged" in json.loads(run(capsys, "info", str(log), "--json", code=1))["error"]
    repaired = json.loads(run(capsys, "repair", str(log), "--json"))
    assert [torn["file"] for torn in repaired["dropped"]] == ["000000002.cmdlog"]
    assert json.loads(run(capsys, "check", str(log), "--json"))["whole"] is True


def test_dump(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [json.loads(line) for line in run(capsys, "dump", str(log), "--json").splitlines()]
    kinds = [record["kind"] for record in found]
    assert kinds.count("job") == 3
    assert {"dead", "pause", "end", "gone", "clock"} <= set(kinds)
    (first,) = (record for record in found if record.get("unique"))
    assert (first["name"], first["priority"], first["unique"]) == ("mail", 3, b"k".hex())
    assert (first["state"], first["attempts"], first["result_size"]) == ("FAILED", 1, 3)
    UUID(first["id"])
    lines = run(capsys, "dump", str(log)).splitlines()
    assert len(lines) == len(found)
    assert lines[0].startswith("file=000000002.snapshot  offset=64")


def test_dump_goes_as_far_as_it_can(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(log)
    *_, last = run(capsys, "dump", str(log), "--json").splitlines()
    assert json.loads(last)["kind"] == "unreadable"


@pytest.mark.parametrize("verb", ["info", "check", "dump", "repair"])
def test_what_is_no_log(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not a directory" in run(capsys, verb, str(tmp_path / "none"), code=1)
    (tmp_path / "letter.txt").write_text("dear")
    assert "not a command log" in run(capsys, verb, str(tmp_path), code=1)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_repair_of_a_log_in_use_is_refused(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with DurableController(log):
        assert "open already" in run(capsys, "repair", str(log), code=1)
        assert json.loads(run(capsys, "info", str(log), "--json"))["jobs"] == 2


def test_help_names_every_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "jobqueue", "cmdlog", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(verb in shown.stdout for verb in ("info", "check", "dump", "repair"))
