"""Commands of `perennial` that are no flows, one module each."""
