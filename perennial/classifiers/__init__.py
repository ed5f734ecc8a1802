"""Classifiers of our own that keep scikit-learn's contract, and linear forms of fitted ones."""
