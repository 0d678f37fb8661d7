"""An exception after each bytecode in turn: nothing is lost, asleep or held for ever."""
