"""The dashboards of Grafana: Service, Models, Flows.

`python -m tools.dashboards` writes them into `k8s/monitoring/dashboards`, from where both
Kubernetes and Compose give them to Grafana.
"""

from __future__ import annotations

from perennial.settings import PROJECT
from tools.dashboards.flows import FLOWS
from tools.dashboards.models import MODELS
from tools.dashboards.service import SERVICE

FOLDER = PROJECT / "k8s" / "monitoring" / "dashboards"
BOARDS = (SERVICE, MODELS, FLOWS)
