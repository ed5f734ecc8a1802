"""What runs, one flow per file.

Prefect reads its environment when it is imported, so the telemetry is turned off here, before it is.
"""

from settings import prepare_environment

prepare_environment()
