"""Splits: which documents are learned from, which are judged on, and labels with few documents."""
