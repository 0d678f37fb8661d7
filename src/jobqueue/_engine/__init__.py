"""What the verbs are made of: functions over the fields of an engine.

They know objects and the machine. They must not hold a verb of the contract: these stand in
_core.pyx; and must not know the facade or a wing.
"""
