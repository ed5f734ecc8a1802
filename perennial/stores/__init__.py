"""What is kept in MongoDB and in Delta Lake, and by which names."""
