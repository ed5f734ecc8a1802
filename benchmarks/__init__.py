"""Each claim of speed in the README, as a command that measures it against a peer."""
