"""What becomes of what retrainings leave."""
