"""What a command says when an optional dependency is missing."""


class MissingExtraError(Exception):
    """A command needs a package that an extra of jobqueue installs."""

    def __init__(self, package: str, extra: str, otherwise: str) -> None:
        """Name the missing package, the extra that brings it, and what works without it."""
        super().__init__(
            f'This command needs {package}, which is not installed: pip install "jobqueue[{extra}]"'
            f" ({otherwise})."
        )
