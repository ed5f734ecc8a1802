"""Texts as the mean vector of their words, from weights that a package brings."""
