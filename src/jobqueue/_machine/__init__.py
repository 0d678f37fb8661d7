"""The state machine of a job's life, in plain C: read types.pxd first.

It knows structs and the structures below. It must not touch a Python object, read a clock or do IO;
each function runs with the engine's lock held and takes the time as an argument.
"""
