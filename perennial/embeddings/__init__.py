"""Texts as vectors, from weights that a package brings or that lie in a folder."""
