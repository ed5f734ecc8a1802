"""What a problem shows of itself: expectations, staleness, the ML Test Score."""
