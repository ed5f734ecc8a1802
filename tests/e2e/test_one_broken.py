"""One broken file among many: all other problems are retrained, served and exported; one alert."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML
from typer.testing import CliRunner

from deployments.cli import app
from deployments.console.board import Board
from deployments.exporter import Sources, sources
from flows.retrain import retrain
from perennial.config.problem import Problem
from perennial.settings import Settings
from tests.conftest import wait_until
from tests.e2e import conftest as sites
from tools import programs
from tools.rules import FILE, SOURCE

BROKEN = "problem-05"
JOBS = ("serving", "flows")
OK, MODEL = "perennial_problem_file_valid", "perennial_model_info"
CANDIDATE = {
    "preparation": "plain",
    "features": {"weighting": "counts", "min_documents": 2},
    "estimator": "multinomial_naive_bayes",
}
ALERT = {
    "exp_labels": {"severity": "ticket", "problem": BROKEN, "file": f"{BROKEN}.yaml"},
    "exp_annotations": {
        "summary": f"{BROKEN}.yaml cannot be used, so {BROKEN} is not retrained or watched "
        "(perennial_problem_file_valid 0).",
        "runbook_url": "docs/runbooks.md#problemfilebroken",
    },
}
Series = tuple[str, tuple[tuple[str, str], ...]]


def exported(settings: Settings) -> dict[Series, float]:
    """What Prometheus reads from the exporter: (name, labels) -> value."""
    board = Board(settings, 1.0)
    board.gather()
    registry = CollectorRegistry()
    registry.register(Sources(tuple(sources(settings, None, board))))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def require_alerts(
    series: Mapping[Series, float], expected: Mapping[str, Any], folder: Path
) -> None:
    """Fail unless exactly these alerts fire when the series have been so for half an hour."""
    given = [
        {
            "series": f"{name}{{{','.join(f'{key}={json.dumps(text)}' for key, text in labels)}}}",
            "values": f"{value}x40",
        }
        for (name, labels), value in series.items()
    ]
    given += [{"series": f'up{{job="{job}",instance="1"}}', "values": "1x40"} for job in JOBS]
    rules = YAML(typ="safe").load(SOURCE)["spec"]["groups"]
    names = {rule["alert"] for group in rules for rule in group["rules"] if "alert" in rule}
    asked = [
        {"eval_time": "30m", "alertname": name, "exp_alerts": expected.get(name, [])}
        for name in sorted(names)
    ]
    case = {"interval": "1m", "input_series": given, "alert_rule_test": asked}
    file = folder / "many_test.yml"
    file.write_text(json.dumps({"rule_files": [str(FILE)], "tests": [case]}))
    done = subprocess.run(
        [programs.require("promtool"), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(8, marks=[pytest.mark.e2e, pytest.mark.timeout(600)]),
        pytest.param(50, marks=[pytest.mark.thorough, pytest.mark.timeout(2400)]),
    ],
)
def test_one_broken_file_stops_no_other_problem(
    count: int,
    machine: Settings,
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Callable[..., list[dict[str, Any]]],
    prefect_api: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"problem-{number:02}" for number in range(1, count + 1)]
    sound = [name for name in names if name != BROKEN]
    write_problem(candidates={"bayes": CANDIDATE}, schedule={"retrain": "0 3 * * *"})
    template = machine.problems_dir / "reviews.yaml"
    text = template.read_text()
    template.unlink()
    for name in names:
        (machine.problems_dir / f"{name}.yaml").write_text(text)
    (machine.problems_dir / f"{BROKEN}.yaml").write_text(text + "\ngates: {floors: oops\n")
    collection.insert_many(documents(200))

    for name in sound:
        retraining = retrain(name)
        assert retraining.verdict is not None, name
        assert retraining.verdict.outcome == "promoted", name

    shown = CliRunner().invoke(app, ["status", "--json"])
    states = {each["problem"]: each["findings"] for each in json.loads(shown.stdout)}
    assert [name for name in names if states[name]] == [BROKEN]
    assert states[BROKEN][0]["rule"] == "file_cannot_be_used"

    seen = exported(machine)
    valid = {dict(labels)["problem"]: value for (name, labels), value in seen.items() if name == OK}
    assert valid == {name: float(name != BROKEN) for name in names}
    named = (("alias", "production"), ("version", "1"))
    served = {(MODEL, (*named, ("problem", name))): 1.0 for name in sound}
    require_alerts({**seen, **served}, {"ProblemFileBroken": [ALERT]}, tmp_path)

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with sites.serving(dict(os.environ), tmp_path / "service.log") as url:
        answers = wait_until(lambda: answered(url, sound), "all are served", seconds=120)
    assert answers == sound


def answered(url: str, names: Sequence[str]) -> list[str]:
    """Return the problems that the service answers, if these are all by now."""
    found = []
    for name in names:
        body = json.dumps({"model": name, "inputs": ["A warm and funny film."]}).encode()
        request = urllib.request.Request(
            f"{url}classify", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert json.load(answer)["predictions"][0]["label"] in ("negative", "positive")
        except OSError:
            return []
        found.append(name)
    return found
