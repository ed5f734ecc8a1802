"""What can be trusted: years of promotions, and how often intervals hold the truth."""
