"""Hostile objects at every entry: nothing may crash, and the engine stays whole."""
