"""Connect: find out that MLflow answers before anything is read or written."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.registry.client import Registry, open_registry
from perennial.settings import get_settings
from tasks.orchestration.retries import NETWORK


@task(name="connect", cache_policy=NO_CACHE, **NETWORK)
def connect() -> Registry:
    """Return the registry, once it has answered.

    Raises
    ------
    OutsideError
        If MLflow does not answer.
    """
    return open_registry(get_settings())
