"""The errors of the command log."""

from pathlib import Path

from ..errors import JobQueueError

__all__ = ["CommandLogError", "DamagedLogError"]


class CommandLogError(JobQueueError):
    """The command log cannot do what it must: nothing has changed, if it was a change."""

    code = "LOG-FAILED"


class DamagedLogError(CommandLogError):
    """What was on disk is not there any more, or is not what was written.

    ``repair=True`` goes on with what can be read, and keeps a copy of what cannot.
    """

    code = "LOG-DAMAGED"

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        """Name the place."""
        super().__init__(f"{path} is damaged at byte {offset}: {reason}")
        self.path = path
        """The file."""
        self.offset = offset
        """Where the damage begins."""
        self.reason = reason
        """What is wrong there."""

    def __reduce__(self) -> tuple[type["DamagedLogError"], tuple[Path, int, str]]:
        return type(self), (self.path, self.offset, self.reason)
