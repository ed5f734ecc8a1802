"""Profiles of data: what its columns are, and the problem's file that suits them."""
