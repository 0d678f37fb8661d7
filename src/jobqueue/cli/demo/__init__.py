"""``jobqueue demo``: the interpreter's standard library goes through the queue as real work.

Every ``.py`` file of the standard library becomes a job; threads lease the jobs, measure the files
and answer; files that do not parse fail and are tried again; one worker oversleeps on purpose, so
that its job goes back in line and its late answer is refused; scheduled jobs sample the stats. At
the end a plain loop over the same files, without any queue, must have come to the same results.

corpus: which files · measure: one file · workers: the run through the queue · verify: the plain
loop and the comparison · report: progress bar, table, JSON.
"""

import argparse
import random
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobqueue.cli.demo.corpus import find_sources, standard_library
from jobqueue.cli.demo.report import RichScreen, Screen, Summary, as_json
from jobqueue.cli.demo.verify import find_differences, run_plainly
from jobqueue.cli.demo.workers import run_through_queue

if TYPE_CHECKING:
    from jobqueue.cli.demo.corpus import Source

WORKERS = 4
WORKERS_MIN = 2  # one of them oversleeps, and another has to take its job


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's parser to those of the command line."""
    parser = commands.add_parser(
        "demo",
        help="run the standard library's own source files through the queue",
        description="Parse and measure every .py file of the running interpreter's standard "
        "library through the queue, then compare with a plain loop over the same files.",
    )
    parser.add_argument(
        "--limit",
        type=_at_least(1),
        metavar="N",
        help="take N files only, spread over all folders (default: every file)",
    )
    parser.add_argument(
        "--workers",
        type=_at_least(WORKERS_MIN),
        default=WORKERS,
        metavar="N",
        help=f"worker threads, at least {WORKERS_MIN} (default: {WORKERS})",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="of the choice among files and queues, to repeat a run (default: 1)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of bar and table"
    )
    parser.set_defaults(command=_command)


def _at_least(least: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        number = int(text)
        if number < least:
            message = f"{number} is less than {least}"
            raise argparse.ArgumentTypeError(message)
        return number

    return count


def _command(arguments: argparse.Namespace) -> int:
    screen = Screen() if arguments.json else RichScreen()
    rng = random.Random(arguments.seed)
    sources = find_sources(standard_library(), limit=arguments.limit, rng=rng)
    if not sources:
        print(f"no source files in {standard_library()}", file=sys.stderr)
        return 1
    print(
        f"{len(sources)} files, {arguments.workers} workers; to repeat: --seed {arguments.seed}",
        file=sys.stderr,
        flush=True,
    )
    summary = demonstrate(sources, workers=arguments.workers, rng=rng, screen=screen)
    if arguments.json:
        print(as_json(summary, seed=arguments.seed, workers=arguments.workers))
    else:
        screen.show(summary)
    return 1 if summary.differences else 0


def demonstrate(
    sources: "list[Source]", *, workers: int, rng: random.Random, screen: Screen
) -> Summary:
    """Run the files through the queue and through a plain loop, and compare.

    Args:
        sources: The files, at least one.
        workers: Threads that measure, at least two.
        rng: Chooses among the queues that have work.
        screen: Is told of the progress.

    """
    with warnings.catch_warnings():
        # Old test files are full of invalid escapes; what is compared is the result. Set once
        # round all threads, since the filters belong to the process.
        warnings.simplefilter("ignore")
        with screen.phase("through the queue", len(sources)) as progress:
            run = run_through_queue(sources, workers=workers, rng=rng, on_progress=progress)
        with screen.phase("plain loop, to compare", len(sources)) as progress:
            plain = run_plainly(sources, on_progress=progress)
    return Summary(run, plain, find_differences(run, plain))
