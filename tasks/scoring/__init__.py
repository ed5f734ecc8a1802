"""Scoring of collections and files in batches."""
