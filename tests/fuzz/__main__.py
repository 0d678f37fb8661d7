"""Fuzzing as a command: ``make fuzz SECONDS=…``; a crash prints the line that replays it.

The attacks run in a process of their own, which notes each before it begins; if it dies, the last
note is the one that killed it. With atheris installed, half of the time is its.
"""

import argparse
import faulthandler
import gc
import importlib
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

REPORT_EVERY = 2000
KEPT = Path("build")  # what atheris leaves behind


def bytes_of(seed: int, number: int) -> bytes:
    rng = Random(f"{seed} {number}")
    return rng.randbytes(rng.randrange(50, 800))


def attack_on(seed: int, seconds: float, note: Path) -> None:
    """Attack after attack, until the time is over."""
    from tests.fuzz.attack import attack

    faulthandler.enable()
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        note.write_text(str(number), "ascii")
        attack(bytes_of(seed, number))
        number += 1
        if number % REPORT_EVERY == 0:
            gc.collect()
            print(f"{number:>9,} attacks", flush=True)
    print(f"{number:>9,} attacks of seed {seed}: nothing broke", flush=True)


def guided(seconds: float) -> None:
    """The same entry under atheris, which keeps what leads to new places."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["jobqueue", "tests"]):
        attack = importlib.import_module("tests.fuzz.attack").attack
    KEPT.mkdir(exist_ok=True)
    limits = [f"-max_total_time={int(seconds)}", "-max_len=800", f"-artifact_prefix={KEPT}/"]
    atheris.Setup(["fuzz", *limits], attack)
    atheris.Fuzz()


def child(*arguments: object) -> int:
    command = [sys.executable, "-X", "dev", "-m", "tests.fuzz", *map(str, arguments)]
    return subprocess.run(command, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--attack", type=int, help="only this one")
    parser.add_argument("--note", type=Path, help="be the process that attacks, and note here")
    parser.add_argument("--guided", action="store_true", help="be the process under atheris")
    options = parser.parse_args()
    seed = SystemRandom().randrange(2**32) if options.seed is None else options.seed
    if options.attack is not None:
        from tests.fuzz.attack import attack

        faulthandler.enable()
        attack(bytes_of(seed, options.attack))
        return 0
    if options.note is not None:
        attack_on(seed, options.seconds, options.note)
        return 0
    if options.guided:
        guided(options.seconds)
        return 0
    return lead(seed, options.seconds)


def lead(seed: int, seconds: float) -> int:
    """Start those that attack, and report how they ended."""
    with_atheris = importlib.util.find_spec("atheris") is not None
    share = seconds / 2 if with_atheris else seconds
    print(f"make fuzz SEED={seed} SECONDS={seconds:g}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "attack"
        code = child("--seed", seed, "--seconds", share, "--note", note)
        if code:
            number = note.read_text("ascii")
            print(
                f"ended with {code}; replay: python -m tests.fuzz --seed {seed} --attack {number}"
            )
            return 1
    if with_atheris:
        return child("--guided", "--seconds", share)
    print("atheris is not there: no guided attacks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
