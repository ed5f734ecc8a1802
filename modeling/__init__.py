"""Machine learning only: the problem schema, text features, candidates, statistics, decisions."""
