"""Snapshots of a collection: a history of revisions in a Delta table."""
