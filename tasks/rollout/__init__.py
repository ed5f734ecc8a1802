"""Rollouts: a canary answers a share of the requests before it becomes Production."""
