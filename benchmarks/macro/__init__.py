"""Depth, threads, hand-off, timers, memory, the collector, a mixed workload."""
