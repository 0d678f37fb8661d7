"""Programs to start from. The suite runs each of them: tests/unit/test_examples.py."""
