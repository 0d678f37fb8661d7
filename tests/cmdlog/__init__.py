"""The command log: what is acknowledged is there afterwards, whatever happens."""
