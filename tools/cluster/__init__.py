"""A Kubernetes cluster for the tests, of pinned Go modules; it needs no root."""
