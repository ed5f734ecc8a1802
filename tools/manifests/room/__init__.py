"""Room on the nodes: requests of all pods, added up against what nodes leave for them.

The scheduler goes by requests alone. A cluster whose requests do not fit shows it only when a
rollout or a retraining waits for a node that never comes.
"""
