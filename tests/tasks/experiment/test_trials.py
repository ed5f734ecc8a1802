"""What becomes of a candidate whose settings are divided among workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from perennial.config.problem import Problem
from perennial.engine.workers import Engine, LostWorkersError
from tasks.experiment.explore import trials_of, tried_by
from tasks.experiment.trial import Trial, Tried, attempt
from tasks.experiment.workspace import Bench

BENCH = Bench(Path("nowhere"))
ALPHAS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


@dataclass
class Workers:
    """Workers that answer as a test says: a part without an answer is not done in time."""

    places: int
    answers: Sequence[Tried] = ()
    error: Exception | None = None
    asked: list[Trial] = field(default_factory=list)

    def done(
        self, work: Callable[[Trial], Tried], parts: Sequence[Trial], *, seconds: float
    ) -> Iterator[tuple[Trial, Tried]]:
        assert (work, seconds > 60.0) == (attempt, True)
        self.asked += parts
        if self.error is not None:
            raise self.error
        # The last ones are done first.
        yield from reversed(list(zip(parts, self.answers, strict=False)))


@pytest.fixture
def exploring(write_problem: Callable[..., Problem]) -> Problem:
    spaces = {
        "multinomial_naive_bayes": {"parameters": {"alpha": ALPHAS}},
        "logistic_regression": {"search": "halving", "parameters": {"C": [0.1, 1.0, 5.0]}},
    }
    return write_problem(experiment={"folds": 2, "spaces": spaces})


@pytest.mark.parametrize("places", [1, 2, 3, 100])
def test_every_setting_is_in_one_trial_however_many_workers_there_are(
    places: int, exploring: Problem
) -> None:
    trials = trials_of(exploring, "bow-bayes", BENCH, 60.0, places)

    settings = range(1 + len(ALPHAS))
    found = [number for trial in trials for number in settings[trial.first : trial.last]]
    assert found == list(settings)
    assert (len(trials) > 1) == (places > 1)


def test_settings_that_are_compared_after_each_fold_stay_together(exploring: Problem) -> None:
    assert len(trials_of(exploring, "tfidf-logistic", BENCH, 60.0, 100)) == 1


def _outcome(workers: Workers, problem: Problem) -> tuple[str, str]:
    tried = tried_by(cast(Engine, workers), problem, "bow-bayes", BENCH, 60.0)
    return tried.outcome, tried.reason


def test_what_happened_to_one_part_is_said_of_the_candidate(exploring: Problem) -> None:
    complete: Any = Tried((), "complete", "")
    late = Tried((), "out of time", "stopped after 9 s")

    assert _outcome(Workers(2, [complete] * 7), exploring) == ("complete", "")
    assert _outcome(Workers(2, [complete, late, *[complete] * 5]), exploring) == (
        "out of time",
        "stopped after 9 s",
    )


def test_a_part_that_no_worker_was_free_for_is_not_reached(exploring: Problem) -> None:
    outcome, reason = _outcome(Workers(2, [Tried((), "complete", "")]), exploring)

    assert outcome == "not reached"
    assert reason == "no worker of the engine was free in the experiment's time"


def test_a_candidate_that_ends_its_workers_has_failed_and_harms_no_other(
    exploring: Problem,
) -> None:
    workers = Workers(2, error=LostWorkersError("4 workers ended; give each of them more."))

    assert _outcome(workers, exploring) == ("failed", "4 workers ended; give each of them more.")
    assert len(workers.asked) == 7
