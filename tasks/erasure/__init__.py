"""Erasure: documents out of all that is stored, and the proof that they are gone."""
