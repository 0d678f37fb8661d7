"""Logs that every later version must read."""
