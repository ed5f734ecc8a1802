"""What every metric needs: predictions, weighted counts, and intervals by the bootstrap."""
