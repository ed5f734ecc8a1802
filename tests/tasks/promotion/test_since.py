"""Documents that arrive after Production was made say what it is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perennial.config.problem import Problem
from perennial.promotion.figure import Selection, Since, best_figure
from perennial.promotion.verdict import Verdict
from perennial.registry.client import open_registry
from perennial.settings import Settings
from perennial.stores.measurements import Gauge
from tasks.data.ingest import ingest
from tasks.data.prepare import prepare
from tasks.reporting.gauges import _production
from tasks.tables.promotion import figures_table
from tests.tasks.promotion.test_promote import CANDIDATES, Shop


@pytest.fixture
def open_shop(
    write_problem: Callable[..., Problem],
    collection: Any,
    documents: Any,
    machine: Settings,
    run_task: Callable[..., Any],
) -> Callable[[int], Shop]:
    """Return a function that prepares what is there after so many reviews have arrived."""
    arrived = 0

    def call(arriving: int) -> Shop:
        nonlocal arrived
        gates = {"floors": {"accuracy": 0.3}, "confirm": "none"}
        problem = write_problem(candidates=CANDIDATES, gates=gates)
        collection.insert_many(documents(arriving, first=arrived))
        arrived += arriving
        ingested = run_task(ingest, problem, rescan=True)
        return Shop(problem, run_task(prepare, problem, ingested.snapshot), open_registry(machine))

    return call


def retrain(shop: Shop, name: str) -> Verdict:
    return shop.promote(*shop.challenger(name))


def test_production_is_judged_by_what_arrived_after_it_was_made(
    open_shop: Callable[[int], Shop],
) -> None:
    first = retrain(shop := open_shop(600), "weak")
    assert (first.selection, first.since) == (None, None)

    same = retrain(shop, "weak")
    assert same.since is None

    later = retrain(shop := open_shop(900), "weak")

    assert later.since is not None
    assert 100 < later.since.documents < 350
    assert later.since.low <= later.since.value <= later.since.high
    production = shop.registry.version("reviews", 1)
    assert production.since_made(Since) == later.since
    assert best_figure(production.selection(Selection), later.since) == later.since.value
    table = figures_table(later)
    assert table is not None
    assert str(later.since) in table.markdown()
    version = {"version": "1"}
    assert Gauge("production_since_documents", later.since.documents, version) in [
        *_production(later)
    ]


def test_who_is_promoted_says_how_much_of_its_figure_may_be_chance(
    open_shop: Callable[[int], Shop],
) -> None:
    retrain(open_shop(1200), "weak")

    better = retrain(shop := open_shop(100), "good")

    assert better.outcome == "promoted"
    assert better.selection is not None
    version = shop.registry.version("reviews", 2)
    assert version.selection(Selection) == better.selection
    assert better.selection.corrected <= better.selection.claimed
    table = figures_table(better)
    assert table is not None
    assert "is to be expected" in table.markdown()
