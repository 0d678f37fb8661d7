"""Cython's coverage plugin, made to find every .pxd.

The original learns of a .pxd from the C file of a module that includes it, and fails if it is asked
about the .pxd first, which is a matter of chance. This one looks through the C files before.
"""

from pathlib import Path
from typing import Any

from Cython.Coverage import Plugin


class FindingPlugin(Plugin):  # type: ignore[misc, unused-ignore]
    """Sees lines of .pyx and .pxd files."""

    def file_tracer(self, filename: str) -> Any:
        self._look_for(filename)
        return super().file_tracer(filename)  # type: ignore[no-untyped-call, unused-ignore]

    def file_reporter(self, filename: str) -> Any:
        self._look_for(filename)
        return super().file_reporter(filename)  # type: ignore[no-untyped-call, unused-ignore]

    def _look_for(self, filename: str) -> None:
        path = Path(filename).resolve()
        if path.suffix == ".pxd" and str(path) not in (self._c_files_map or {}):
            self._find_c_source_files(  # type: ignore[no-untyped-call, unused-ignore]
                str(path.parent), str(path)
            )


def coverage_init(registry: Any, options: Any) -> None:
    """What coverage calls when it loads the plugin."""
    registry.add_file_tracer(FindingPlugin())
