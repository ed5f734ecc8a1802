"""Trials one after the other share a process, which none of them can spoil for the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from perennial.config.problem import Problem
from perennial.training.fitting import compact
from perennial.training.validation import Fold
from tasks.experiment import process as processes_of_trials
from tasks.experiment import trial as trials
from tasks.experiment.process import end_idle
from tasks.experiment.trial import Trial, Tried, attempt
from tasks.experiment.workspace import Bench, laid_out
from tests.perennial.training.test_fitting import made


@pytest.fixture
def bench(write_problem: Callable[..., Problem], tmp_path: Path) -> Iterator[Bench]:
    """A bench with few documents; there is no process of trials before and after."""
    problem = write_problem(experiment={"folds": 2})
    counts, labels = made(200, 60)
    is_first = np.arange(200) % 2 == 0
    folds = [Fold(is_first, ~is_first), Fold(~is_first, is_first)]
    shared = dict.fromkeys(problem.candidates, compact(counts))
    end_idle()
    with laid_out(tmp_path, problem, shared, labels, folds) as found:
        yield found
    end_idle()


def tried(bench: Bench, name: str = "bow-bayes", seconds: float = 60.0) -> Tried:
    return attempt(Trial(bench, name, None, None, seconds, until=time.time() + 100.0))


def processes() -> list[int]:
    """Return the processes of trials that this one has."""
    children = psutil.Process().children()
    return [each.pid for each in children if "tasks.experiment.process" in each.cmdline()]


def test_one_process_makes_one_trial_after_the_other(bench: Bench) -> None:
    first = tried(bench)
    (process,) = processes()
    second, other = tried(bench), tried(bench, "tfidf-logistic")

    assert processes() == [process]
    assert [each.outcome for each in (first, second, other)] == ["complete"] * 3
    assert figures(second) == figures(first)
    assert first.found[0].interval is not None


def figures(done: Tried) -> list[Any]:
    return [(each.parameters, each.folds, each.metrics, each.interval) for each in done.found]


def test_no_process_is_left_when_a_bench_is_not_needed_any_more(bench: Bench) -> None:
    tried(bench)
    assert processes() != []

    end_idle()

    assert processes() == []


def test_a_trial_that_fails_says_why_and_the_next_one_completes(bench: Bench) -> None:
    tried(bench)

    failed = tried(bench, "nothing")

    assert (failed.outcome, failed.reason) == ("failed", "KeyError: 'nothing'")
    assert processes() == []
    assert tried(bench).outcome == "complete"


def test_a_trial_whose_time_is_over_ends_its_process_and_the_next_one_completes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "_LEAST_SECONDS", 0.0)
    # Not even long enough to start.
    late = tried(bench, seconds=0.01)

    assert (late.outcome, processes()) == ("out of time", [])
    assert tried(bench).outcome == "complete"


def test_a_process_that_nobody_asks_ends(bench: Bench) -> None:
    tried(bench)
    (process,) = processes()

    assert psutil.Process(process).wait(timeout=60) == 0
    assert tried(bench).outcome == "complete"


def test_a_process_that_ends_just_when_it_is_asked_is_replaced(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried(bench)
    processes_of_trials._IDLE[0]._process.wait(timeout=60)
    monkeypatch.setattr(processes_of_trials.Process, "is_running", property(lambda _: True))

    assert tried(bench).outcome == "complete"


def test_a_process_of_other_settings_is_not_used(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried(bench)
    before = processes()
    monkeypatch.setenv("MEMORY_LIMIT", "1GB")

    assert tried(bench).outcome == "complete"
    assert set(processes()).isdisjoint(before)
