"""What jobqueue costs, beside the floor and beside every peer. Start with README.md."""
