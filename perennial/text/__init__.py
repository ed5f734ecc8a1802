"""Raw text to counts of words and pairs of words."""
