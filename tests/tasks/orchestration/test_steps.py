"""The steps of a flow say how long they took, and how much work of processors they were."""

from __future__ import annotations

from tasks.orchestration.steps import Steps
from tasks.reporting.tables import durations_table


def test_each_step_has_its_time_and_the_work_of_processors() -> None:
    steps = Steps()

    for name in ("ingest", "train"):
        with steps(name):
            sum(range(10**5))

    assert [*steps.seconds] == [*steps.processor_seconds] == ["ingest", "train"]
    assert min(*steps.seconds.values(), *steps.processor_seconds.values()) > 0


def test_the_table_of_durations_has_both_of_each_step_and_of_all() -> None:
    table = durations_table({"ingest": 3.0, "train": 2.5}, {"ingest": 1.0, "train": 4.0})

    assert table.head == ("step", "s", "CPU, s")
    assert table.rows == [
        ("ingest", "3.00", "1.00"),
        ("train", "2.50", "4.00"),
        ("all", "5.50", "5.00"),
    ]
