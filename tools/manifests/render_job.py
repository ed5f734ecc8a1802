"""Print the Job that Prefect's worker makes of a job template, with the template's defaults."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_EXAMPLES: dict[str, object] = {
    "name": "retrain",
    "image": "perennial-worker:local",
    "namespace": "perennial-local",
    "command": ["prefect", "flow-run", "execute"],
    "env": [{"name": "PREFECT__FLOW_RUN_ID", "value": "1"}],
    "labels": {"prefect.io/worker-name": "worker"},
    "annotations": {},
}


def fill(part: Any, values: dict[str, Any]) -> Any:
    """Return a part of the template with its placeholders replaced."""
    if isinstance(part, dict):
        return {key: fill(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [fill(value, values) for value in part]
    if isinstance(part, str) and part.startswith("{{ ") and part.endswith(" }}"):
        return values[part[3:-3]]
    if isinstance(part, str):
        return part.replace("{{ name }}", values["name"])
    return part


def main() -> None:
    """Print the Job as JSON, which is YAML, too."""
    template = json.loads(Path(sys.argv[1]).read_text())
    properties = template["variables"]["properties"]
    defaults = {name: about.get("default") for name, about in properties.items()}
    job = fill(template["job_configuration"]["job_manifest"], defaults | _EXAMPLES)
    json.dump(job, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
