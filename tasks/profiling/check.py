"""Check: judge the documents of a file or a collection by a problem, and write nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from perennial.config.problem import Problem
from perennial.files.labelled import open_labelled
from perennial.profile.estimate import Estimate, estimate
from perennial.profile.trial import Trial, try_documents
from perennial.settings import Settings
from perennial.stores import mongodb
from perennial.stores.documents import read_documents
from tasks.tables.base import TextTable

# So many documents are judged at most: the first ones, which is said.
MOST_DOCUMENTS = 50_000
_CHARACTERS = 90
_LABELS = 20
_FEW = 20
_IN_SECONDS = 120


def check_file(problem: Problem, file: Path, *, encoding: str | None = None) -> Trial:
    """Return what a retraining would make of a file, as `perennial seed` would load it."""
    documents = open_labelled(problem, file, encoding=encoding, most=MOST_DOCUMENTS)
    return try_documents(documents, problem)


def check_collection(settings: Settings, problem: Problem) -> Trial | None:
    """Return what a retraining would make of the problem's collection; None if it is empty."""
    with mongodb.connect(settings, problem.name) as client:
        documents = iter(read_documents(client, problem))
        first = next(documents, None)
        if first is None:
            return None
        return try_documents(islice(chain([first], documents), MOST_DOCUMENTS), problem)


def tables(problem: Problem, trial: Trial) -> Iterator[TextTable]:
    """Yield tables: what becomes of the documents, and the split of their labels."""
    rows = [("used", f"{trial.used:,}", "")]
    if trial.duplicates:
        rows.append(("duplicates of others", f"{trial.duplicates:,}", ""))
    for each in trial.held:
        shown = "; ".join(_cut(example) for example in each.examples)
        rows.append((f"quarantine: {each.reason}", f"{each.count:,}", shown))
    some = "the first " if trial.documents == MOST_DOCUMENTS else ""
    title = f"{problem.name}: what would become of {some}{trial.documents:,} documents"
    yield TextTable(title, ("outcome", "documents", "examples"), rows)
    if trial.split is None:
        return
    labels = sorted(trial.labels.items(), key=lambda item: -sum(item[1]))
    rows = [(name, f"{both[0]:,}", f"{both[1]:,}") for name, both in labels[:_LABELS]]
    if len(labels) > _LABELS:
        rows.append((f"and {len(labels) - _LABELS:,} more labels", "", ""))
    rows.append(("all", f"{trial.split.training:,}", f"{trial.split.holdout:,}"))
    yield TextTable(trial.split.title.capitalize(), ("label", "training", "holdout"), rows)


def sentences(problem: Problem, trial: Trial) -> Iterator[str]:
    """Yield what else a person should know: notes on the split, the estimate, what does not fit."""
    if trial.obstacle is not None:
        yield trial.obstacle
        return
    assert trial.split is not None
    yield from trial.split.notes
    few = [label for label, both in trial.labels.items() if both[1] < _FEW]
    if few:
        yield (
            f"Fewer than {_FEW} holdout documents judge the labels {', '.join(few[:10])}: their "
            "figures will be rough."
        )
    expected = estimate(problem, trial.size)
    yield (
        f"A retraining takes about {_duration(expected.seconds)} of one core and "
        f"{expected.bytes / 1e9:.1f} GB of memory."
    )
    for name in expected.slow:
        yield _slow(name, expected)


def _slow(name: str, expected: Estimate) -> str:
    return (
        f"The candidate {name} does not fit: it would take about "
        f"{_duration(expected.candidates[name])} of one core; remove it, or make it smaller."
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < _IN_SECONDS else f"{seconds / 60:.0f} minutes"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 3]}..."
