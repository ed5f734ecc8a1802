"""The dashboards are as the code says, Grafana is given them, and every query is PromQL."""

from __future__ import annotations

import json
import subprocess

import promql_parser
import pytest
from ruamel.yaml import YAML

from perennial.settings import PROJECT
from tools.dashboards import BOARDS, FOLDER
from tools.dashboards.draw import Board
from tools.manifests.kubectl import kubectl

# Grafana fills it in; PromQL has no variables.
_VARIABLES = {"$__rate_interval": "1m"}
_COLUMNS = 24


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_file_of_a_dashboard_is_what_the_code_says(board: Board) -> None:
    assert (FOLDER / f"{board.name}.json").read_text() == board.json(), "run `make dashboards`"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_every_panel_asks_what_prometheus_understands_and_says_what_it_shows(board: Board) -> None:
    panels = json.loads(board.json())["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["description"]
        assert panel["targets"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= _COLUMNS
        for target in panel["targets"]:
            query = target["expr"]
            for name, value in _VARIABLES.items():
                query = query.replace(name, value)
            promql_parser.parse(query)


def test_grafana_gets_every_dashboard_on_a_cluster_and_in_compose() -> None:
    done = subprocess.run(
        [kubectl(), "kustomize", str(PROJECT / "k8s" / "monitoring")],
        capture_output=True,
        text=True,
        check=True,
    )
    yaml = YAML(typ="safe", pure=True)
    (given,) = (each for each in yaml.load_all(done.stdout) if each["kind"] == "ConfigMap")
    addons = yaml.load(PROJECT / "k8s" / "addons" / "monitoring.yaml")
    sidecar = addons["grafana"]["sidecar"]["dashboards"]
    assert given["data"] == {f"{board.name}.json": board.json() for board in BOARDS}
    assert given["metadata"]["labels"] == {sidecar["label"]: sidecar["labelValue"]}

    compose = PROJECT / "compose" / "grafana" / "provisioning"
    (provider,) = yaml.load(compose / "dashboards" / "perennial.yaml")["providers"]
    (source,) = yaml.load(compose / "datasources" / "prometheus.yaml")["datasources"]
    mounts = yaml.load(PROJECT / "compose.yaml")["services"]["grafana"]["volumes"]
    folder = FOLDER.relative_to(PROJECT)
    assert f"./{folder}:{provider['options']['path']}:ro" in mounts
    for board in BOARDS:
        assert f'"uid": "{source["uid"]}"' in board.json()
