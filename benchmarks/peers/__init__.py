"""The peers: each used at its best, as `best` says, and with what it lacks written beside it."""
