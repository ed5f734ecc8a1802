"""The console: one page that says how every problem is, and takes what a person decides.

It is served by the exporter's process, which asks MLflow, MongoDB and Prefect anyway.
"""
