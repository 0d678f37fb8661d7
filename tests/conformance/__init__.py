"""The conformance suite: one file per verb, run against every engine."""
