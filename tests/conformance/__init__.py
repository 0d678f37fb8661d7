"""The public conformance suite on our own engines."""
