"""The simulator: random calls in virtual time, the engine beside its model."""
