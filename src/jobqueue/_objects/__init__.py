"""Python faces of the structs: rules of values, ID and Job, records, waiters, queues, timers.

They know the machine and its structs. They must not know engines' verbs or the facade.
"""
