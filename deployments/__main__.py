"""``python -m deployments`` is ``perennial``, where the project is not installed."""

from deployments.cli import main

if __name__ == "__main__":
    main()
