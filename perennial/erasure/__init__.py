"""Erasure: documents removed from every byte that is stored, and the proof that they are gone."""
