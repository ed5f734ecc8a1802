"""Models in MLflow: runs, versions, aliases, and the history of Production."""
