"""The conformance suite: what every engine of jobqueue does, one file a verb.

Run it on an engine of your own:

    pytest --pyargs jobqueue.testing.conformance --engine module:factory

The factory makes a `jobqueue.testing.harness.Harness`. What an engine lacks is skipped, by name.
It is judged by the slow reference in `jobqueue.testing.model`.
"""
