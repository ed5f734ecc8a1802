"""Documents: ingested, prepared, seeded, described."""
