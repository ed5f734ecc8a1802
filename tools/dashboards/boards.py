"""What is on the dashboards."""

from __future__ import annotations

from perennial.metrics import METRICS
from perennial.prometheus import PREFIX, series
from tools.dashboards.draw import Board, Graph, Number, Query

_HERE = 'namespace=~"$namespace"'
_OF = 'namespace=~"$namespace",problem=~"$problem"'
_ASKED = 'route=~"/classify|/feedback"'
_RATE = "[$__rate_interval]"
_SCORES = "|".join(name for name, metric in METRICS.items() if metric.more_is_better)


def _quantile(quantile: float) -> Query:
    name = series("app_request_latency_seconds_bucket")
    buckets = f'{name}{{{_HERE},route="/classify"}}{_RATE}'
    return Query(
        f"histogram_quantile({quantile}, sum by (le) (rate({buckets})))",
        f"{quantile:.0%}".replace("%", " in 100"),
    )


def _rate(metric: str, by: str, selector: str = _OF) -> str:
    return f"sum by ({by}) (rate({series(metric)}{{{selector}}}{_RATE}))"


def _latest(metric: str, by: str, extra: str = "") -> str:
    return f"max by ({by}) ({series(PREFIX + metric)}{{{_OF}{extra}}})"


def _increase(metric: str, by: str) -> str:
    return f"sum by ({by}) (increase({series(metric)}{{{_OF}}}[1h]))"


def _runs(by: str, extra: str = "") -> str:
    return f"max by ({by}) ({series('perennial_flow_runs_last_hour')}{{{_HERE}{extra}}})"


SERVICE = Board(
    name="service",
    title="Perennial / Service",
    description="Whether requests are answered, how fast, by which version, and with what.",
    since="now-3h",
    panels=(
        Number(
            "Pods",
            "Pods that answer Prometheus.",
            "none",
            Query(f'sum(up{{{_HERE},job=~"(.+/)?serving"}})', "pods"),
        ),
        Number(
            "Production",
            "The version that answers.",
            "none",
            Query(_latest("production_version", "problem"), "{{problem}}"),
        ),
        Number(
            "Failed, last hour",
            "Share of the requests that got a status of 500 or above; 0.1% is the objective.",
            "percentunit",
            Query(f"max(namespace:app_errors:ratio_rate1h{{{_HERE}}})", "failed"),
        ),
        Number(
            "Slow, last hour",
            "Share of the answers that took longer than 250 ms; 1% is the objective.",
            "percentunit",
            Query(f"max(namespace:app_slow:ratio_rate1h{{{_HERE}}})", "slow"),
        ),
        Graph(
            "Requests",
            "Requests per second, by what was asked.",
            "reqps",
            [Query(_rate("app_request_count_total", "route", _HERE), "{{route}}")],
        ),
        Graph(
            "Errors",
            "Share of the requests that fail; alerts go by how fast it spends the month's budget.",
            "percentunit",
            [
                Query(f"max(namespace:app_errors:ratio_rate{window}{{{_HERE}}})", window)
                for window in ("5m", "1h", "6h")
            ],
            reaches=0.01,
        ),
        Graph(
            "Latency",
            "Seconds to the answer to /classify: half of them, 95 and 99 of 100 take at most this.",
            "s",
            [_quantile(0.5), _quantile(0.95), _quantile(0.99)],
        ),
        Graph(
            "Predictions",
            "Share of each class. A step without a promotion means that inputs have changed.",
            "percentunit",
            [
                Query(
                    f"{_rate('model_prediction_count_total', 'problem, class')} / on (problem) "
                    f"group_left {_rate('model_prediction_count_total', 'problem')}",
                    "{{problem}}: {{class}}",
                )
            ],
            stacked=True,
        ),
        Graph(
            "Versions",
            "Predictions per second by version: a promotion is a change of colour.",
            "ops",
            [
                Query(
                    _rate("model_prediction_count_total", "problem, version"),
                    "{{problem}} {{version}}",
                )
            ],
            stacked=True,
        ),
        Graph(
            "Swaps",
            "Versions that took over in workers, and versions that were refused, in an hour.",
            "none",
            [
                Query(
                    _increase("perennial_model_swaps_total", "problem"),
                    "{{problem}} swapped",
                ),
                Query(
                    _increase("perennial_model_swap_failures_total", "problem"),
                    "{{problem}} refused",
                ),
            ],
        ),
        Graph(
            "Characters per input",
            "Half of the inputs, and 95 of 100, are at most this long.",
            "none",
            [
                Query(
                    f"histogram_quantile({quantile}, "
                    f"{_rate('perennial_input_characters_bucket', 'problem, le')})",
                    f"{{{{problem}}}} {name}",
                )
                for quantile, name in ((0.5, "median"), (0.95, "95 in 100"))
            ],
        ),
        Graph(
            "Log",
            "Entries that wait for MongoDB, and those that were not kept, per second.",
            "none",
            [
                Query(f"sum({series('perennial_log_queue_entries')}{{{_HERE}}})", "waiting"),
                Query(
                    _rate("perennial_log_dropped_entries_total", "kind, reason", _HERE),
                    "{{kind}} {{reason}}",
                ),
            ],
        ),
        Graph(
            "Feedback",
            "Feedback per second: people agree with a prediction, or not.",
            "ops",
            [
                Query(
                    _rate("perennial_feedback_total", "problem, agreement"),
                    "{{problem}} {{agreement}}",
                )
            ],
        ),
        Graph(
            "Canary",
            "Share of the requests that a canary answers, or sees as a shadow.",
            "percentunit",
            [Query(_latest("canary_traffic_ratio", "problem, mode"), "{{problem}} {{mode}}")],
            reaches=1,
        ),
    ),
)

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
            Query(_latest("production_version", "problem"), "{{problem}}"),
        ),
        Number(
            "Age of Production",
            "How long that version has been Production; an alert fires after 30 days.",
            "s",
            Query(
                f"time() - {_latest('production_since_timestamp_seconds', 'problem')}",
                "{{problem}}",
            ),
        ),
        Number(
            "Newest document",
            "Its age; if it grows, no labelled documents come in.",
            "s",
            Query(_latest("newest_document_age_seconds", "problem"), "{{problem}}"),
        ),
        Number(
            "Drift",
            "Tests that found drift in the last monitor run.",
            "none",
            Query(
                f"sum by (problem) ({_latest('drift_found', 'problem, of, test')})", "{{problem}}"
            ),
        ),
        Graph(
            "Accuracy",
            "On the holdout when the version was made, and live by feedback, with its interval. "
            "Purple marks are promotions.",
            "percentunit",
            [
                Query(
                    _latest("holdout_metric", "problem, version", ',metric="accuracy"'),
                    "{{problem}} {{version}} holdout",
                ),
                Query(_latest("live_accuracy", "problem, version"), "{{problem}} {{version}} live"),
                Query(
                    _latest("live_accuracy_low", "problem, version"),
                    "{{problem}} {{version}} live, at least",
                ),
                Query(
                    _latest("live_accuracy_high", "problem, version"),
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
                    _latest("holdout_metric", "problem, metric", f',metric=~"{_SCORES}"'),
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
                    f"{_latest('drift_score', 'problem, of, test')} / "
                    f"({_latest('drift_limit', 'problem, of, test')} > 0)",
                    "{{problem}} {{of}}: {{test}}",
                )
            ],
            from_zero=False,
        ),
        Graph(
            "Answers with a known truth",
            "How many answers the live accuracy rests on.",
            "none",
            [Query(_latest("live_answers", "problem, version"), "{{problem}} {{version}}")],
        ),
        Graph(
            "Freshness",
            "Age of Production, the newest document, the snapshot and the last retraining.",
            "s",
            [
                Query(_latest(f"{name}_age_seconds", "problem"), f"{{{{problem}}}} {words}")
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
            "Documents that the last retraining could not use, by reason.",
            "none",
            [
                Query(
                    _latest("documents_quarantined", "problem, reason, field"),
                    "{{problem}}: {{field}} {{reason}}",
                )
            ],
        ),
        Graph(
            "Verdicts",
            "1 for the outcome of the last verdict: did the challenger win?",
            "none",
            [Query(_latest("verdict", "problem, outcome"), "{{problem}} {{outcome}}")],
            points=True,
        ),
        Graph(
            "Challenger and Production",
            "The last challenger on the holdout of its retraining, against Production's figure.",
            "percentunit",
            [
                Query(
                    _latest("challenger_metric", "problem", ',metric="accuracy"'),
                    "{{problem}} challenger",
                ),
                Query(
                    _latest("holdout_metric", "problem", ',metric="accuracy"'),
                    "{{problem}} Production",
                ),
            ],
            from_zero=False,
        ),
    ),
)

FLOWS = Board(
    name="flows",
    title="Perennial / Flows",
    description="Whether flows run, how long they take, and what they read.",
    since="now-7d",
    panels=(
        Number(
            "Failed, last hour",
            "Runs that failed, crashed or timed out.",
            "none",
            Query(
                "sum(" + _runs("flow, state", ',state=~"failed|crashed|timedout"') + ")",
                "failed",
            ),
        ),
        Number(
            "Late",
            "Runs that should have started.",
            "none",
            Query(
                "sum(" + _runs("flow", ',state="late"') + ")",
                "late",
            ),
        ),
        Number(
            "Last retraining",
            "How long ago a retraining succeeded.",
            "s",
            Query(
                "time() - "
                + _latest("flow_last_success_timestamp_seconds", "problem", ',flow="retrain"'),
                "{{problem}}",
            ),
        ),
        Number(
            "Sources",
            "Of MongoDB, the registry and Prefect: how many answer the exporter.",
            "none",
            Query(f"sum(min by (source) ({series('perennial_source_up')}{{{_HERE}}}))", "sources"),
        ),
        Graph(
            "Runs of the last hour",
            "By flow and state.",
            "none",
            [
                Query(
                    _runs("flow, state"),
                    "{{flow}} {{state}}",
                )
            ],
        ),
        Graph(
            "Since the last success",
            "Grows until the flow succeeds again.",
            "s",
            [
                Query(
                    "time() - " + _latest("flow_last_success_timestamp_seconds", "flow, problem"),
                    "{{flow}} {{problem}}",
                )
            ],
        ),
        Graph(
            "Steps of a retraining",
            "How long each step of the last one took.",
            "s",
            [Query(_latest("flow_step_seconds", "problem, step"), "{{problem}} {{step}}")],
            stacked=True,
        ),
        Graph(
            "Documents of a retraining",
            "What the last one found changed, and what became of all.",
            "none",
            [
                Query(_latest("document_changes", "problem, change"), "{{problem}} {{change}}"),
                Query(_latest("documents", "problem, outcome"), "{{problem}} {{outcome}}"),
            ],
        ),
        Graph(
            "Snapshot",
            "Documents in the newest snapshot.",
            "none",
            [Query(_latest("snapshot_documents", "problem"), "{{problem}}")],
        ),
        Graph(
            "Arrived",
            "Documents that are newer than the snapshot, and those of them that cannot be used.",
            "none",
            [
                Query(_latest("recent_documents", "problem"), "{{problem}}"),
                Query(_latest("unusable_documents", "problem"), "{{problem}} unusable"),
            ],
        ),
    ),
)
