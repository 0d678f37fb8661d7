"""kill -9 in a loop: see __main__.py."""
