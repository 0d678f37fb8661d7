"""An exception after each bytecode in turn: nothing may be lost, asleep for ever, or held for ever."""
