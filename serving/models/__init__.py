"""The models that answer: fetched, cached, swapped."""
