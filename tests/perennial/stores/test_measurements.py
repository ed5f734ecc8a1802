"""Measurements: what flows measured is kept, and numbers that nobody exports are refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from perennial.config.problem import Problem
from perennial.settings import Settings
from perennial.stores import mongodb
from perennial.stores.measurements import COLLECTION, Gauge, Measurement, latest, record


def _latest(machine: Settings, problem: Problem) -> list[Measurement]:
    with mongodb.connect(machine) as client:
        return list(latest(client[problem.source.database]))


def _keep(machine: Settings, problem: Problem, flow: str, *figures: Mapping[str, Any]) -> None:
    """Keep a measurement as an earlier version has done."""
    entry = {
        "_id": f"{flow} {problem.name}",
        "flow": flow,
        "problem": problem.name,
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "figures": figures,
    }
    with mongodb.connect(machine) as client:
        client[problem.source.database][COLLECTION].replace_one(
            {"_id": entry["_id"]}, entry, upsert=True
        )


@pytest.mark.parametrize("name", ["snapshot_document", "perennial_snapshot_documents", "source_up"])
def test_a_number_that_the_table_does_not_list_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"lists no metric perennial_{name} of flows"):
        Gauge(name, 1.0)


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"test": "words"},
        {"test": "words", "off": "documents"},
        {"test": "words", "of": "documents", "flow": "monitor"},
    ],
    ids=["none", "one is missing", "misspelt", "flow is added by the exporter"],
)
def test_a_number_with_other_labels_than_the_table_has_is_refused(labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"perennial_drift_score has the labels \['of', 'test'\]"):
        Gauge("drift_score", 1.0, labels)


def test_the_last_measurement_of_a_flow_is_kept(
    machine: Settings, problem: Problem, mongodb_server: str
) -> None:
    record("retrain", problem, [Gauge("snapshot_documents", 11)])
    record("retrain", problem, [Gauge("snapshot_documents", 12)])

    (measured,) = [each for each in _latest(machine, problem) if each.flow == "retrain"]

    assert measured.problem == problem.name
    assert measured.gauges == (Gauge("snapshot_documents", 12.0),)


def test_a_measurement_of_an_earlier_version_is_read_by_todays_names(
    machine: Settings, problem: Problem, mongodb_server: str
) -> None:
    drift = {"name": "drift_score", "value": 0.7, "labels": {"test": "words", "of": "documents"}}
    _keep(machine, problem, "monitor", drift)
    _keep(machine, problem, "judge", {"name": "canary_requests_share", "value": 0.2, "labels": {}})
    _keep(machine, problem, "rollback", {"name": "production_version", "value": 3.0, "labels": {}})

    found = {each.flow: each.gauges for each in _latest(machine, problem)}

    assert found["monitor"] == (Gauge("drift_score", 0.7, {"test": "words", "of": "documents"}),)
    assert found["judge"] == (Gauge("canary_requests_ratio", 0.2),)
    # The registry knows which version is Production; this was true after the rollback only.
    assert found["rollback"] == ()


@pytest.mark.parametrize(
    ("labels", "gauges"),
    [
        ({"test": "words"}, (Gauge("drift_score", 0.7, {"test": "words", "of": ""}),)),
        ({"test": "words", "of": "documents", "sample": "all"}, ()),
    ],
    ids=["fewer", "others"],
)
def test_a_measurement_with_other_labels_is_read_as_far_as_it_fits(
    machine: Settings,
    problem: Problem,
    mongodb_server: str,
    labels: dict[str, str],
    gauges: tuple[Gauge, ...],
) -> None:
    _keep(machine, problem, "monitor", {"name": "drift_score", "value": 0.7, "labels": labels})

    (measured,) = [each for each in _latest(machine, problem) if each.flow == "monitor"]

    assert measured.gauges == gauges
