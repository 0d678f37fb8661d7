"""What the log's files do on a real disk."""

import os

import pytest

from jobqueue.cmdlog._files import Mapped


def test_disk_space_is_there_before_it_is_stored_into(tmp_path):
    path = tmp_path / "file"
    mapped = Mapped(path, 1 << 20)
    mapped.allocate(100_000)
    if hasattr(path.stat(), "st_blocks"):
        assert path.stat().st_blocks * 512 >= 100_000
    assert mapped.memory is not None
    mapped.memory[99_990:100_000] = b"0123456789"
    mapped.allocate(300_000)
    if hasattr(path.stat(), "st_blocks"):
        assert path.stat().st_blocks * 512 >= 300_000
    assert path.read_bytes() == bytes(99_990) + b"0123456789" + bytes((1 << 20) - 100_000)
    mapped.close(100_000)
    assert path.read_bytes() == bytes(99_990) + b"0123456789"


def test_less_space_is_enough_after_more_could_not_be_had(tmp_path, monkeypatch):
    mapped = Mapped(tmp_path / "file", 1 << 20)
    mapped.allocate(1000)
    written = []
    real_write = os.write

    def write(fd, data):
        if written:
            raise OSError(28, "no space left, says the test")
        written.append(real_write(fd, data))
        return written[0]

    with monkeypatch.context() as patched:
        patched.setattr("jobqueue.cmdlog._files.os.write", write)
        with pytest.raises(OSError, match="says the test"):
            mapped.allocate(500_000)
    mapped.allocate(2000)
    mapped.allocate(1000 + written[0])
    mapped.allocate(500_000)
    mapped.close(10)
