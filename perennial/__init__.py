"""Perennial keeps classifiers fresh in production: the library behind flows, tasks and service.

It knows neither Prefect nor BentoML. Its rooms import down, never up; see CONTRIBUTING.md.
"""

__version__ = "0.1.0"
