"""Checks of what is rendered from `k8s/`."""
