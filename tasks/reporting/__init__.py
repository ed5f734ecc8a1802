"""Reports of a retraining, in the terminal, in Prefect and for Prometheus."""
