"""``python -m jobqueue``: the command line."""

from jobqueue.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
