"""Counts of documents: how tokens become blocks, and blocks of several times one matrix."""
