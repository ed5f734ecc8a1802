"""Documents as a collection has them: their revisions, labels, copies and accounts."""
