"""The reader under atheris, ``make fuzz-log SECONDS=60``: logs that lead to new places are kept.

The golden logs, copied, are where it begins. What it changes are records without their frames, so
that no checksum stands in its way. It sees the ways through Python code, not those through native.
"""

import argparse
import importlib
import importlib.util
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from jobqueue.cmdlog._format import SIZES
from tests.cmdlog.hostile import bodies, framed, golden, looked

PACKED = struct.Struct("<BBH")
"""Before a body: kind, flags, size."""
LONGEST = 8192
KEPT = Path("build")
"""Where a log that broke something is left."""

REPAIR, SNAPSHOT, RAW = 1, 2, 4
"""Bits of the first byte: repair what is damaged; it is of the snapshot, not of the segment; it is
the file itself, not packed records."""


def packed(data: bytes) -> bytes:
    return b"".join(
        PACKED.pack(kind, flags, len(body)) + body for kind, flags, body in bodies(data)
    )


def unpacked(data: bytes) -> list[tuple[int, int, bytes]]:
    parts = []
    while len(data) >= PACKED.size:
        kind, flags, size = PACKED.unpack_from(data)
        parts.append((kind, flags, data[PACKED.size : PACKED.size + size]))
        data = data[PACKED.size + size :]
    return parts


def corpus() -> dict[str, bytes]:
    """What to begin with: each golden file, packed and as it is, to be read and to be repaired."""
    made = {}
    for name, data in golden().items():
        of = SNAPSHOT if name.endswith(".snapshot") else 0
        for bits in (0, REPAIR):
            made[f"{name}-{bits}"] = bytes([of | bits]) + packed(data)
            made[f"{name}-{bits}-raw"] = bytes([of | bits | RAW]) + data
    return made


def enter(data: bytes) -> str:
    """Read the log that some bytes stand for."""
    bits, rest = (data[0], data[1:]) if data else (RAW, b"x")
    files = golden()
    kind = ".snapshot" if bits & SNAPSHOT else ".cmdlog"
    (name,) = (name for name in files if name.endswith(kind))
    header = files[name][: SIZES["header"]]
    if bits & RAW:
        files[name] = rest
    else:
        files[name] = framed(header, unpacked(rest))
    return looked(files, repair=bool(bits & REPAIR))


def guide(folder: Path, limits: list[str]) -> None:
    """Attack until the time is over; atheris then ends this process."""
    atheris: Any = importlib.import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(["fuzz-log", str(folder), *limits], enter)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz-log")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--enter", type=Path, help="only this file, which a run left behind")
    parser.add_argument("--guide", type=Path, help="be the process under atheris, with this corpus")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**31) if options.seed is None else options.seed
    if options.enter is not None:
        print(enter(options.enter.read_bytes()))
        return 0
    if options.guide is not None:
        limits = [f"-max_total_time={options.seconds}", f"-max_len={LONGEST}", f"-seed={seed}"]
        guide(options.guide, [*limits, f"-artifact_prefix={KEPT}/"])
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not there: no guided attacks")
        return 0
    print(f"make fuzz-log SEED={seed} SECONDS={options.seconds}", flush=True)
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in corpus().items():
            Path(folder, name).write_bytes(data)
        command = [sys.executable, "-X", "dev", "-m", "tests.cmdlog.guided", "--guide", folder]
        command += ["--seconds", f"{options.seconds}", "--seed", f"{seed}"]
        code = subprocess.run(command, check=False).returncode
    if code:
        print(f"python -m tests.cmdlog.guided --enter {KEPT}/crash-... replays it")
    return code


if __name__ == "__main__":
    sys.exit(main())
