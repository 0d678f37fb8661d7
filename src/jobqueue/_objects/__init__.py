"""Python faces of the structs: rules of single values, ID and Job, records, waiters, queues.

They know the machine and its structs. They must not know engines' verbs or the facade.
"""
