"""The search for a baseline."""
