"""Backups: everything that Perennial keeps, in one folder or bucket, and back again."""
