"""Calibrated probabilities, and the thresholds that decide by them."""
