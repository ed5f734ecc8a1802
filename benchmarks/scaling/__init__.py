"""Scaling: how the time and the memory of flows grow with the number of documents."""
