"""Packages of others: which are there, and where a private part of one is replaced."""
