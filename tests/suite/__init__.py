"""Tests of the conformance suite itself: it catches what is planted, and runs anywhere."""
