"""The steps of the flows, as Prefect tasks; everything a retraining reads or writes goes through them.

Prefect and MLflow read their environment when they are imported, so the telemetry is turned off here,
before any of them is.
"""

from settings import prepare_environment

prepare_environment()
