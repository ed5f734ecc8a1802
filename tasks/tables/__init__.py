"""Tables for people: in Markdown for Prefect and MLflow, and in the terminal."""
