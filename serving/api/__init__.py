"""The HTTP API: requests, answers, errors, and their description."""
