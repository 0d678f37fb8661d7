"""``jobqueue cmdlog``: look into a command log, check it, repair it.

info, check and dump do not touch the log, and work while it is in use. files: reading with a
progress bar · dump: one record as a dictionary.

Exit codes: 0 all is well (a torn tail is: the next start cuts it), 1 it is damaged, or no log.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobqueue.cli.cmdlog.dump import entry
from jobqueue.cli.cmdlog.files import reading

if TYPE_CHECKING:
    from jobqueue.cmdlog import Recovery, Torn

COMMANDS = {
    "info": "what is in a log: files, jobs by queue and state",
    "check": "read all of a log, and say whether it is whole",
    "dump": "show every record",
    "repair": "go on with what can be read of a damaged log; copies of the rest are kept",
}


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser to those of the command line."""
    parser = commands.add_parser(
        "cmdlog",
        help="look into a command log, check it, repair it",
        description="Look into the command log of a DurableController.",
    )
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        verb.add_argument("path", type=Path, metavar="PATH", help="the directory of the log")
        verb.add_argument(
            "--json",
            action="store_true",
            help="one JSON object a record" if name == "dump" else "print one JSON object",
        )
        verb.set_defaults(command=_command, verb=RUN[name])


def _command(arguments: argparse.Namespace) -> int:
    from jobqueue.cmdlog import CommandLogError

    path: Path = arguments.path
    verb: Callable[[Path], Iterator[dict[str, Any]]] = arguments.verb
    if not path.is_dir():
        return _refused(f"{path} is not a directory, so it is no command log", arguments)
    try:
        for found in verb(path):
            print(json.dumps(found) if arguments.json else "\n".join(_lines(found)))
    except (CommandLogError, OSError) as error:
        return _refused(str(error), arguments)
    return 0


def _refused(why: str, arguments: argparse.Namespace) -> int:
    print(json.dumps({"error": why}) if arguments.json else why, file=sys.stderr)
    return 1


def _lines(found: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Give an object for people: one line for a record, a line for each field of anything else."""
    if "kind" in found:
        yield "  ".join(f"{key}={value}" for key, value in found.items())
        return
    for key, value in found.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{key}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{key}: {'none' if value in (None, [], {}) else value}"


def _info(path: Path) -> Iterator[dict[str, Any]]:
    from jobqueue import State
    from jobqueue.cmdlog import replay

    with reading(path, "reading") as files:
        controller = replay(path, files=files)
    names = controller.names()
    queues = {
        name: {
            "ready": len(controller.jobs(name)),
            "scheduled": len(controller.scheduled_jobs(name)),
            "dead": len(controller.dead(name)),
        }
        for name in sorted(names)
    }
    states = Counter(record.state for record in controller.registry)
    yield {
        "path": str(path),
        "files": files.sizes(path),
        **_report(controller.recovery),
        "states": {State(state).name: count for state, count in sorted(states.items())},
        "queues": queues,
    }
    controller.close()


def _check(path: Path) -> Iterator[dict[str, Any]]:
    from jobqueue.cmdlog import replay

    with reading(path, "checking") as files:
        controller = replay(path, files=files)
    controller.close()
    yield {"whole": True, **_report(controller.recovery)}


def _dump(path: Path) -> Iterator[dict[str, Any]]:
    from jobqueue.cmdlog import CommandLogError
    from jobqueue.cmdlog._format import KINDS, SIZES, Header, read_header, records, seal_of

    with reading(path, None) as files:
        names = files.log_names(path)
        if not names:
            raise CommandLogError(f"{path} is not a command log: it has no segments")
        for name in names:
            try:
                data = files.read(path / name)
            except FileNotFoundError:
                yield {"file": name, "kind": "gone", "wrong": "a compaction removed it meanwhile"}
                continue
            header = read_header(data)
            if not isinstance(header, Header):
                yield {"file": name, "kind": "no header", "wrong": header or "not of this format"}
                continue
            at = SIZES["header"]
            for offset, sequence, lag, kind, flags, body in records(data, at):
                yield {
                    "file": name,
                    "offset": offset,
                    "sequence": sequence,
                    "synced": sequence - lag if name.endswith(".cmdlog") else None,
                    "kind": KINDS[kind],
                    "batch": bool(flags),
                    **entry(KINDS[kind], body),
                }
                at = offset + seal_of(header).frame + len(body)
            if data.count(0, at) < len(data) - at:
                yield {"file": name, "offset": at, "kind": "unreadable", "size": len(data) - at}


def _repair(path: Path) -> Iterator[dict[str, Any]]:
    from jobqueue.cmdlog import CommandLogError, DurableController

    with reading(path, "repairing") as files:
        if not files.log_names(path):
            raise CommandLogError(f"{path} is not a command log: it has no segments")
        with DurableController(path, repair=True, files=files) as controller:
            report = controller.recovery
    yield _report(report)


RUN = {"info": _info, "check": _check, "dump": _dump, "repair": _repair}


def _report(found: "Recovery") -> dict[str, Any]:
    return {
        "snapshot": found.snapshot,
        "segments": found.segments,
        "records": found.records,
        "jobs": found.jobs,
        "sequence": found.sequence,
        "torn": None if found.torn is None else _torn(found.torn),
        "dropped": [_torn(torn) for torn in found.dropped],
        "leases": found.leases,
        "expired": found.expired,
    }


def _torn(torn: "Torn") -> dict[str, Any]:
    return {
        "file": torn.path.name,
        "offset": torn.offset,
        "size": torn.size,
        "reason": torn.reason,
    }
