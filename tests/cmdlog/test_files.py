"""What the log's files do on a real disk."""

import sys

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


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit to lower there")
def test_less_space_is_enough_after_more_could_not_be_had(tmp_path):
    """The limit of the process stands for a full disk."""
    import resource

    mapped = Mapped(tmp_path / "file", 1 << 20)
    mapped.allocate(1000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            mapped.allocate(500_000)
        mapped.allocate(90_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    mapped.allocate(500_000)
    mapped.close(10)
    assert (tmp_path / "file").stat().st_size == 10
