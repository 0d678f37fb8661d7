"""Data structures: ordered set, timer wheel, id table; and what the platform gives.

They know keys, ticks and bytes. They must not know jobs, records, engines or Python objects.
"""
