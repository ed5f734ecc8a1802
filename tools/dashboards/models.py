"""The dashboard of models."""

from __future__ import annotations

from tools.dashboards.draw import Board, Graph, Number, Query
from tools.dashboards.queries import SCORES, latest

MODELS = Board(
    name="models",
    title="Perennial / Models",
    description="How good Production is, whether the world has changed, and how fresh it is.",
    since="now-30d",
    panels=(
        Number(
            "Production",
            "The version that answers.",
            "none",
            Query(latest("production_version", "problem"), "{{problem}}"),
        ),
        Number(
            "Age of Production",
            "How long that version has been Production; an alert fires after 30 days.",
            "s",
            Query(
                f"time() - {latest('production_since_timestamp_seconds', 'problem')}",
                "{{problem}}",
            ),
        ),
        Number(
            "Newest document",
            "Its age; if it grows, no labelled documents come in.",
            "s",
            Query(latest("newest_document_age_seconds", "problem"), "{{problem}}"),
        ),
        Number(
            "Drift",
            "Tests that found drift in the last monitor run.",
            "none",
            Query(
                f"sum by (problem) ({latest('drift_found', 'problem, of, test')})", "{{problem}}"
            ),
        ),
        Graph(
            "Accuracy",
            "On the holdout when the version was made, and live by feedback, with its interval. "
            "Purple marks are promotions.",
            "percentunit",
            [
                Query(
                    latest("holdout_metric", "problem, version", ',metric="accuracy"'),
                    "{{problem}} {{version}} holdout",
                ),
                Query(latest("live_accuracy", "problem, version"), "{{problem}} {{version}} live"),
                Query(
                    latest("live_accuracy_low", "problem, version"),
                    "{{problem}} {{version}} live, at least",
                ),
                Query(
                    latest("live_accuracy_high", "problem, version"),
                    "{{problem}} {{version}} live, at most",
                ),
            ],
            from_zero=False,
        ),
        Graph(
            "Holdout",
            "Metrics of Production on the holdout for which more is better.",
            "percentunit",
            [
                Query(
                    latest("holdout_metric", "problem, metric", f',metric=~"{SCORES}"'),
                    "{{problem}} {{metric}}",
                )
            ],
            from_zero=False,
        ),
        Graph(
            "Drift",
            "Size of each test against its limit: from 1 on it matters.",
            "none",
            [
                Query(
                    f"{latest('drift_score', 'problem, of, test')} / "
                    f"({latest('drift_limit', 'problem, of, test')} > 0)",
                    "{{problem}} {{of}}: {{test}}",
                )
            ],
            from_zero=False,
        ),
        Graph(
            "Answers with a known truth",
            "How many answers the live accuracy rests on.",
            "none",
            [Query(latest("live_answers", "problem, version"), "{{problem}} {{version}}")],
        ),
        Graph(
            "Freshness",
            "Age of Production, the newest document, the snapshot and the last retraining.",
            "s",
            [
                Query(latest(f"{name}_age_seconds", "problem"), f"{{{{problem}}}} {words}")
                for name, words in (
                    ("production", "Production"),
                    ("newest_document", "newest document"),
                    ("snapshot", "snapshot"),
                    ("retraining", "retraining"),
                )
            ],
        ),
        Graph(
            "Quarantine",
            "Documents that could not be used at the last retraining, by reason.",
            "none",
            [
                Query(
                    latest("documents_quarantined", "problem, reason, field"),
                    "{{problem}}: {{field}} {{reason}}",
                )
            ],
        ),
        Graph(
            "Verdicts",
            "1 for the outcome of the last verdict: did the challenger win?",
            "none",
            [Query(latest("verdict", "problem, outcome"), "{{problem}} {{outcome}}")],
            points=True,
        ),
        Graph(
            "Challenger and Production",
            "The last challenger on the holdout of its retraining, against Production's figure.",
            "percentunit",
            [
                Query(
                    latest("challenger_metric", "problem", ',metric="accuracy"'),
                    "{{problem}} challenger",
                ),
                Query(
                    latest("holdout_metric", "problem", ',metric="accuracy"'),
                    "{{problem}} Production",
                ),
            ],
            from_zero=False,
        ),
    ),
)
