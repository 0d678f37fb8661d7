"""The command line: ``jobqueue COMMAND`` or ``python -m jobqueue COMMAND``.

Each command lives in a package of its own, which adds its parser to the list below. The commands
need nothing but the standard library to be imported; an extra is loaded when it is first used, and
a missing one ends in a sentence that says how to get it, never in a traceback.

Exit codes: 0 done, 1 the command found something wrong, 2 it was called wrongly or lacks an extra,
130 it was interrupted.
"""

import argparse
import sys
from collections.abc import Sequence

from jobqueue.cli import cmdlog, demo
from jobqueue.cli.extra import MissingExtraError

INTERRUPTED = 130  # what a shell reports of a command that SIGINT ended


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jobqueue",
        description="An embeddable job queue engine with a native core.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo.add_command(commands)
    cmdlog.add_command(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: The arguments after the program's name; those of the process by default.

    """
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except MissingExtraError as missing:
        print(missing, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
