"""The table of metrics follows Prometheus' guide, and knows what it lists."""

from __future__ import annotations

import re

import pytest

from perennial.prometheus import EXPORTER, FAMILIES, FLOWS, PREFIX, SERVICE, MetricFamily, series

# Older than the prefix.
OLDER = {"app_request_count", "app_request_latency_seconds", "model_prediction_count"}
# Suffixes that belong to counters and histograms, and units that are not base units.
RESERVED = ("_total", "_count", "_sum", "_bucket", "_created")
NO_BASE_UNITS = r"_(milliseconds|ms|minutes|hours|days|percent|share|kilobytes|megabytes)(_|$)"

every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)


@every_family
def test_a_name_has_the_prefix_base_units_and_no_suffix_of_another_type(
    family: MetricFamily,
) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", family.name)
    assert not re.search(NO_BASE_UNITS, family.name)
    if family.name not in OLDER:
        assert family.name.startswith(PREFIX)
        assert not family.name.endswith(RESERVED)


@every_family
def test_a_metric_says_what_it_measures_and_has_each_label_once(family: MetricFamily) -> None:
    assert re.fullmatch(r"[A-Z1].*[^.]", family.help)
    assert len(set(family.labels)) == len(family.labels)
    assert all(re.fullmatch(r"[a-z]+", label) for label in family.labels)


def test_a_metric_is_exported_by_one_program_only() -> None:
    assert len(FAMILIES) == len(SERVICE) + len(EXPORTER) + len(FLOWS)


def test_every_metric_of_flows_says_of_which_flow_and_problem_it_is() -> None:
    assert all({"flow", "problem"} <= set(family.labels) for family in FLOWS.values())


@pytest.mark.parametrize(
    "name",
    [
        "app_request_count_total",
        "app_request_latency_seconds_bucket",
        "perennial_drift_found",
        "perennial_input_characters_sum",
    ],
)
def test_a_series_that_exists_keeps_its_name(name: str) -> None:
    assert series(name) == name


@pytest.mark.parametrize(
    "name", ["app_request_count", "drift_found", "perennial_drift", "perennial_drift_found_total"]
)
def test_a_series_that_nothing_exports_is_an_error(name: str) -> None:
    with pytest.raises(LookupError, match=f"no series {name}"):
        series(name)
