"""Summary of a monitor run, in words and tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from perennial.commands import command, counted
from perennial.config.problem import Problem
from perennial.metrics import Interval
from perennial.monitoring.drift_tests import DriftTest
from tasks.tables.base import TextTable

if TYPE_CHECKING:
    from tasks.monitoring.result import MonitorResult

_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60
# From this share of unusable documents on something is wrong with what writes them.
_UNUSABLE_SHARE = 0.05
# By how much feedback has to surpass the holdout, beyond chance, before a reader is told.
_MUCH_BETTER = 0.05
# Reasons and tests that are named; the tables have all of them.
_NAMED = 3
# Smaller probabilities are shown as smaller than this.
_SMALLEST = 1e-6


def headline(problem: Problem, monitored: MonitorResult) -> str:
    """Return what a run found in one line."""
    version = monitored.reference.production.version
    found = monitored.drift.found
    if found and not monitored.drift.counted:
        return f"{problem.name}: no new drift since version {version} was trained"
    if found:
        return f"{problem.name}: drift since version {version} was trained"
    if not monitored.drift.tests:
        return f"{problem.name}: too little has come since version {version} to compare"
    return f"{problem.name}: no drift since version {version} was trained"


def advice(problem: Problem, monitored: MonitorResult) -> list[str]:
    """Return what a person should know or do, a sentence each, the most urgent first."""
    return [
        *_about_skew(monitored),
        *_about_drift(problem, monitored),
        *_about_quality(problem, monitored),
    ]


def _about_skew(monitored: MonitorResult) -> Iterator[str]:
    skew, version = monitored.recent.skew, monitored.reference.production.version
    if skew.different:
        yield (
            f"{skew.different:,} of the newest {skew.compared:,} answers of version {version} "
            "differ from what the registered model says of the same inputs, by up to "
            f"{skew.farthest:.2g} in probability; the farthest is prediction {skew.example}. "
            "Restart the service, and look at its log and at the versions of its libraries."
        )
    elif skew.compared:
        yield (
            f"The newest {counted(skew.compared, 'answer')} of version {version} are those of the "
            "registered model."
        )


def _about_drift(problem: Problem, monitored: MonitorResult) -> Iterator[str]:
    drift, step = monitored.drift, monitored.alarm
    least = problem.monitoring.min_documents
    if drift.found:
        named = "; ".join(map(str, drift.found[:_NAMED]))
        yield f"{len(drift.found)} of {len(drift.tests)} comparisons exceed their limit: {named}."
        if step.raised:
            yield (
                "The event problem.drifted was raised; its automation starts a retraining. "
                f"Without automations, run `{command('retrain', problem.name)}`."
            )
        else:
            yield f"The event problem.drifted was not raised: {step.reason}."
    elif drift.tests:
        yield f"None of {len(drift.tests)} comparisons found drift; nothing has to be done."
    for comparison, sample in zip(
        drift.comparisons,
        (monitored.recent.documents, monitored.recent.predictions),
        strict=True,
    ):
        if not comparison.tests:
            yield (
                f"{len(sample):,} different recent {comparison.of} are too few to compare; "
                f"{least:,} are needed here and in the reference, which has "
                f"{len(monitored.reference.sample):,}."
            )
    unusable = sum(monitored.recent.unusable.values())
    read = unusable + len(monitored.recent.documents)
    if unusable and unusable >= _UNUSABLE_SHARE * read:
        reason = max(monitored.recent.unusable, key=lambda each: monitored.recent.unusable[each])
        yield (
            f"{unusable:,} recent documents cannot be used, most often because {reason}; look at "
            "what writes them."
        )


def _about_quality(problem: Problem, monitored: MonitorResult) -> Iterator[str]:
    quality, version = monitored.quality, monitored.reference.production.version
    holdout, limit = quality.holdout, problem.monitoring.limits.accuracy_drop
    live = [each for each in quality.live if each.version == version]
    if live and holdout is not None:
        longest = max(live, key=lambda each: each.look_back)
        fall = holdout.value - longest.accuracy.value
        worse = longest.accuracy.high < holdout.value
        verdict = "as good as" if not worse else "worse than" if fall >= limit else "a little below"
        yield (
            f"By feedback on {counted(longest.known, 'answer')} version {version} is "
            f"{percent(longest.accuracy)} accurate, {verdict} on its holdout ({percent(holdout)}). "
            "Who gives feedback is no random sample of the users."
        )
        agreeing = round(longest.accuracy.value * longest.known)
        yield (
            f"Of these, {agreeing:,} confirm the answer and {longest.known - agreeing:,} give "
            "another label."
        )
        if longest.accuracy.low > holdout.high + _MUCH_BETTER:
            yield (
                f"Version {version} does much better by feedback than on its holdout: some of it "
                f"may be confirmed unread; perennial feedback {problem.name} lists who sends it."
            )
    elif not live:
        yield f"Nobody has given feedback on version {version} within the window."
    whole = quality.documents
    weak = [each for each in quality.parts if whole and each.accuracy.high < whole.low]
    if weak:
        named = "; ".join(f"{each.name}: {percent(each.accuracy)}" for each in weak[:_NAMED])
        yield f"On some recent documents version {version} is worse than on most: {named}."


def tables(monitored: MonitorResult) -> list[TextTable]:
    """Return everything that a run found as tables."""
    return [drift_table(monitored), quality_table(monitored), freshness_table(monitored)]


def drift_table(monitored: MonitorResult) -> TextTable:
    """Return a table: every comparison, those that found drift first."""
    return TextTable(
        "Recent against the holdout of the snapshot",
        ("of", "what", "snapshot", "recent", "size", "limit", "p, corrected", "drift"),
        [
            (
                test.of,
                test.name.replace("_", " "),
                test.before,
                test.now,
                f"{test.size:.3f}",
                f"{test.limit:g}",
                _probability(test.adjusted),
                _drifted(test, monitored),
            )
            for test in monitored.drift.tests
        ],
    )


def _drifted(test: DriftTest, monitored: MonitorResult) -> str:
    if not test.drifted:
        return "no"
    return "explained" if test.of in monitored.drift.explained else "yes"


def quality_table(monitored: MonitorResult) -> TextTable:
    """Return a table: accuracy, measured and estimated."""
    quality, sample = monitored.quality, monitored.reference.sample
    version = monitored.reference.production.version
    rows: list[tuple[str, ...]] = []
    if quality.holdout is not None:
        rows.append((f"{version}", "holdout", f"{len(sample):,}", percent(quality.holdout)))
    rows += [
        (
            f"{live.version}",
            f"feedback on answers of the last {duration(live.look_back.total_seconds())}",
            f"{live.known:,}",
            percent(live.accuracy),
        )
        for live in quality.live
    ]
    if quality.documents is not None:
        count = int(monitored.recent.documents.known.sum())
        rows.append(
            (f"{version}", "labels of recent documents", f"{count:,}", percent(quality.documents))
        )
    rows += [
        (f"{version}", f"  of these, {each.name}", f"{each.documents:,}", percent(each.accuracy))
        for each in quality.parts
    ]
    sizes = {
        "documents": len(monitored.recent.documents),
        "predictions": len(monitored.recent.predictions),
    }
    rows += [
        (
            f"{version}",
            f"estimate for recent {of}, without labels",
            f"{sizes[of]:,}",
            percent(found),
        )
        for of, found in quality.estimated.items()
    ]
    return TextTable("Accuracy", ("version", "by", "answers", "accuracy, 95% interval"), rows)


def freshness_table(monitored: MonitorResult) -> TextTable:
    """Return a table: how old everything is."""
    ages = monitored.freshness
    rows = [
        ("became Production", ages.production),
        ("newest document of its snapshot", ages.snapshot),
        ("newest document in MongoDB", ages.newest_document),
        ("last success of retrain", ages.retraining),
    ]
    return TextTable(
        "Freshness",
        ("what", "ago"),
        [(what, "unknown" if age is None else duration(age)) for what, age in rows],
    )


def percent(found: Interval) -> str:
    """Return a share with its interval."""
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _probability(value: float) -> str:
    return f"{value:.2g}" if value >= _SMALLEST else f"< {_SMALLEST:g}"


def duration(seconds: float) -> str:
    """Return a time in the unit in which people would say it."""
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{timedelta(seconds=seconds) / timedelta(seconds=size):.3g} {unit}"
    return f"{seconds:.0f} s"
