"""Cython's coverage plugin, made to find every .pxd.

The original learns of a .pxd from the C file of a module that includes it, and fails if it is asked
about the .pxd first, which is a matter of chance. This one looks through the C files before.
"""

from pathlib import Path
from typing import Any

from Cython.Coverage import Plugin


class FindingPlugin(Plugin):  # type: ignore[misc, unused-ignore]
    """Reports lines of .pyx and .pxd files."""

    def file_reporter(self, filename: str) -> Any:
        if filename.endswith(".pxd"):
            self._find_c_source_files(str(Path(filename).parent), filename)
        return super().file_reporter(filename)


def coverage_init(registry: Any, options: Any) -> None:
    """What coverage calls when it loads the plugin."""
    registry.add_file_tracer(FindingPlugin())
