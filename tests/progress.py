"""How far a long run is: a bar on a terminal, elsewhere a line every few seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_S = 5.0
"""Between two lines."""
BAR_S = 0.1
"""Between two pictures of the bar."""


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that takes how many are done. It uses no thread: these runs fork."""
    columns = (
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = sys.stderr.isatty()
    shown = time.monotonic()
    screen = Progress(
        *columns,
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
        disable=not bar,
    )
    with screen:
        task = screen.add_task(what, total=total)

        def tell(done: int) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown < (BAR_S if bar else LINE_S):
                return
            shown = now
            if bar:
                screen.update(task, completed=done, refresh=True)
            else:
                print(f"{done:>8,} of {total:,} {what}", flush=True)

        yield tell
