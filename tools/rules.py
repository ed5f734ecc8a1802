"""The rules of Prometheus for Compose, written from those for Kubernetes.

`python -m tools.rules` writes `compose/prometheus/rules.yml`.
"""

from __future__ import annotations

import textwrap

from perennial.settings import PROJECT

SOURCE = PROJECT / "k8s" / "monitoring" / "rules.yaml"
FILE = PROJECT / "compose" / "prometheus" / "rules.yml"
_HEAD = "# Written by `make dashboards` from k8s/monitoring/rules.yaml; change that.\n"


def derived() -> str:
    """Return the rules as Prometheus without its operator reads them."""
    _, _, spec = SOURCE.read_text().partition("\nspec:\n")
    return _HEAD + textwrap.dedent(spec)


if __name__ == "__main__":
    FILE.write_text(derived())
