"""What the log's files do on a real disk."""

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
