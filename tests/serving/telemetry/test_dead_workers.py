"""What dead workers have counted stays counted, in few files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MultiProcessValue

from serving.telemetry.dead_workers import DeadWorkers
from tests.searches import tried


def _count(folder: Path, pid: int, requests: int, seconds: float) -> None:
    """Count as the worker of an id would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
        patch.setattr("prometheus_client.values.ValueClass", MultiProcessValue(lambda: pid))
        patch.setattr("prometheus_client.metrics.values.ValueClass", MultiProcessValue(lambda: pid))
        registry = CollectorRegistry()
        Counter("asked", "Requests", ["route"], registry=registry).labels("/a").inc(requests)
        Histogram("took", "Seconds", registry=registry).observe(seconds)
        Gauge("waits", "Waiting", registry=registry, multiprocess_mode="livesum").set(1)


def _read(folder: Path) -> dict[tuple[str, Any], float]:
    collector = MultiProcessCollector(None, str(folder))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in collector.collect()
        for sample in family.samples
    }


def test_sums_stay_and_files_go(tmp_path: Path) -> None:
    for pid in range(1, 31):
        _count(tmp_path, pid, pid, 0.1)
    before = _read(tmp_path)

    DeadWorkers(tmp_path, is_alive=lambda pid: pid == 30).gather()

    after = _read(tmp_path)
    assert before["asked_total", (("route", "/a"),)] == sum(range(31))
    waiting = ("waits", ())
    assert before.pop(waiting) == 30
    assert after.pop(waiting) == 1
    assert after == pytest.approx(before)
    assert sorted(file.name for file in tmp_path.glob("*.db")) == [
        "counter_30.db",
        "counter_dead.db",
        "gauge_livesum_30.db",
        "histogram_30.db",
        "histogram_dead.db",
    ]


@tried(0.7, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sets(st.integers(1, 12)), min_size=1, max_size=4))
def test_deaths_in_any_order_lose_and_double_nothing(
    tmp_path_factory: pytest.TempPathFactory, deaths: list[set[int]]
) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    for pid in range(1, 13):
        _count(folder, pid, pid, 0.5)
    expected = _read(folder)["asked_total", (("route", "/a"),)]
    dead: set[int] = set()

    for more in deaths:
        dead |= more
        DeadWorkers(folder, is_alive=lambda pid, dead=dead: pid not in dead).gather()
        assert _read(folder)["asked_total", (("route", "/a"),)] == expected


def test_what_was_taken_when_a_gathering_ended_early_is_counted_by_the_next(
    tmp_path: Path,
) -> None:
    _count(tmp_path, 1, 5, 0.1)
    _count(tmp_path, 2, 7, 0.1)
    (tmp_path / "counter_1.db").rename(tmp_path / "counter_1.dead")
    (tmp_path / "counter_dead.new").write_bytes(b"half")

    DeadWorkers(tmp_path, is_alive=lambda _: False).gather()

    assert _read(tmp_path)["asked_total", (("route", "/a"),)] == 12
    assert not list(tmp_path.glob("*.new"))
