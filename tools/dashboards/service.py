"""The dashboard of the service."""

from __future__ import annotations

from perennial.prometheus import series
from tools.dashboards.draw import Board, Graph, Number, Query
from tools.dashboards.queries import HERE, increase, latest, quantile, rate

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
            Query(f'sum(up{{{HERE},job=~"(.+/)?serving"}})', "pods"),
        ),
        Number(
            "Production",
            "The version that answers.",
            "none",
            Query(latest("production_version", "problem"), "{{problem}}"),
        ),
        Number(
            "Failed, last hour",
            "Share of the requests that got a status of 500 or above; 0.1% is the objective.",
            "percentunit",
            Query(f"max(namespace:app_errors:ratio_rate1h{{{HERE}}})", "failed"),
        ),
        Number(
            "Slow, last hour",
            "Share of the answers that took longer than 250 ms; 1% is the objective.",
            "percentunit",
            Query(f"max(namespace:app_slow:ratio_rate1h{{{HERE}}})", "slow"),
        ),
        Graph(
            "Requests",
            "Requests per second, by what was asked.",
            "reqps",
            [Query(rate("app_request_count_total", "route", HERE), "{{route}}")],
        ),
        Graph(
            "Errors",
            "Share of the requests that fail; alerts go by how fast it spends the month's budget.",
            "percentunit",
            [
                Query(f"max(namespace:app_errors:ratio_rate{window}{{{HERE}}})", window)
                for window in ("5m", "1h", "6h")
            ],
            reaches=0.01,
        ),
        Graph(
            "Latency",
            "Seconds to the answer to /classify: half of them, 95 and 99 of 100 take at most this.",
            "s",
            [quantile(0.5), quantile(0.95), quantile(0.99)],
        ),
        Graph(
            "Predictions",
            "Share of each class. A step without a promotion means that inputs have changed.",
            "percentunit",
            [
                Query(
                    f"{rate('model_prediction_count_total', 'problem, class')} / on (problem) "
                    f"group_left {rate('model_prediction_count_total', 'problem')}",
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
                    rate("model_prediction_count_total", "problem, version"),
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
                    increase("perennial_model_swaps_total", "problem"),
                    "{{problem}} swapped",
                ),
                Query(
                    increase("perennial_model_swap_failures_total", "problem"),
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
                    f"{rate('perennial_input_characters_bucket', 'problem, le')})",
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
                Query(f"sum({series('perennial_log_queue_entries')}{{{HERE}}})", "waiting"),
                Query(
                    rate("perennial_log_dropped_entries_total", "kind, reason", HERE),
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
                    rate("perennial_feedback_total", "problem, agreement"),
                    "{{problem}} {{agreement}}",
                )
            ],
        ),
        Graph(
            "Canary",
            "Share of the requests that a canary answers, or sees as a shadow.",
            "percentunit",
            [Query(latest("canary_traffic_ratio", "problem, mode"), "{{problem}} {{mode}}")],
            reaches=1,
        ),
    ),
)
