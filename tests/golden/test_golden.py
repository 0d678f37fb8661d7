"""Every version's log is read to the state that was recorded when it was written."""

import re
from pathlib import Path

import pytest

from jobqueue.cmdlog._format import KINDS, SIZES, records
from tests.golden.make import write
from tests.golden.state import state_text

LOGS = sorted(path.parent for path in Path(__file__).parent.glob("*/state.txt"))


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.name)
def test_a_golden_log_is_read_to_its_state(log):
    assert state_text(log) == (log / "state.txt").read_text()


def test_the_golden_log_holds_every_kind_of_record():
    found = set()
    for path in [*LOGS[-1].glob("*.cmdlog"), *LOGS[-1].glob("*.snapshot")]:
        found |= {kind for _, _, _, kind, _, _ in records(path.read_bytes(), SIZES["header"])}
    assert found == set(KINDS)


def test_the_same_calls_come_to_the_same_state(tmp_path):
    """Not the same bytes: times of the real clock are in headers."""
    write(tmp_path / "log")
    (tmp_path / "log" / "lock").unlink()
    assert state_text(tmp_path / "log") == (LOGS[-1] / "state.txt").read_text()


def test_the_bytes_on_the_page_are_those_of_the_log():
    page = Path(__file__).parents[2] / "docs" / "cmdlog_format.md"
    shown = re.findall(r"At byte (\d+),.*?```text\n([0-9a-f ]+)\n", page.read_text(), re.DOTALL)
    assert len(shown) == 2
    data = (Path(__file__).parent / "version_2" / "000000002.cmdlog").read_bytes()
    for at, text in shown:
        assert data[int(at) :].startswith(bytes.fromhex(text))
