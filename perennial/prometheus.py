"""The metrics for Prometheus: name, type, labels and meaning of each, whoever exports it.

Service, exporter and flows take their metrics from here, dashboards and documentation their names;
tests look up here what rules and runbooks name. Names follow Prometheus' guide
(https://prometheus.io/docs/practices/naming/): prefix of the application, base unit last. Three are
older than the prefix and keep their place on everybody's dashboards: ``app_request_count``,
``app_request_latency_seconds`` and ``model_prediction_count``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PREFIX = "perennial_"
Type = Literal["counter", "gauge", "histogram"]
_SUFFIXES: dict[Type, tuple[str, ...]] = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}


@dataclass(frozen=True)
class MetricFamily:
    """One metric with all of its series.

    Attributes
    ----------
    name : str
        As the text format has it in ``# HELP``; a counter's lacks the suffix ``_total``.
    type : {"counter", "gauge", "histogram"}
        How its values may be read.
    help : str
        What is measured, in a line for people.
    labels : tuple of str
        Names of its labels, which every series has.
    """

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names of its series, as queries ask for them."""
        return tuple(self.name + suffix for suffix in _SUFFIXES[self.type])


def _by_name(*families: MetricFamily) -> dict[str, MetricFamily]:
    return {family.name: family for family in families}


def _counter(name: str, text: str, *labels: str) -> MetricFamily:
    return MetricFamily(name, "counter", text, labels)


def _gauge(name: str, text: str, *labels: str) -> MetricFamily:
    return MetricFamily(name, "gauge", text, labels)


def _histogram(name: str, text: str, *labels: str) -> MetricFamily:
    return MetricFamily(name, "histogram", text, labels)


def _of_flow(name: str, text: str, *labels: str) -> MetricFamily:
    return MetricFamily(name, "gauge", text, ("flow", "problem", *labels))


# The service counts these itself.
SERVICE = _by_name(
    _counter("app_request_count", "Requests answered", "route", "method", "status"),
    _histogram(
        "app_request_latency_seconds",
        "Seconds from the request's first byte to its answer",
        "route",
    ),
    _counter("model_prediction_count", "Predictions answered", "problem", "version", "class"),
    _counter(
        "perennial_refused_inputs",
        "Inputs that could not be classified, by reason",
        "problem",
        "code",
    ),
    _counter(
        "perennial_abstained_predictions",
        "Predictions without a label, by reason",
        "problem",
        "version",
        "reason",
    ),
    _counter(
        "perennial_input_warnings",
        "Warnings about inputs that were answered, by code",
        "problem",
        "code",
    ),
    _histogram("perennial_input_characters", "Characters per input", "problem"),
    _gauge(
        "perennial_model_info",
        "1 while an alias names this version here",
        "problem",
        "alias",
        "version",
    ),
    _counter("perennial_model_swaps", "Versions that took over in a worker", "problem"),
    _counter("perennial_model_swap_failures", "Versions that a worker refused", "problem"),
    _gauge(
        "perennial_model_refused",
        "1 while a worker does not use the version that an alias names",
        "problem",
        "alias",
    ),
    _counter(
        "perennial_problem_requests",
        "Requests to classify that reached a model, by what became of them",
        "problem",
        "outcome",
    ),
    _gauge(
        "perennial_canary_traffic_ratio",
        "Share of the requests that the canary gets",
        "problem",
        "mode",
    ),
    _counter(
        "perennial_shadow_predictions",
        "Predictions of a shadow canary against those answered",
        "problem",
        "version",
        "agreement",
    ),
    _counter("perennial_feedback", "Feedback on predictions", "problem", "version", "agreement"),
    _counter(
        "perennial_log_dropped_entries",
        "Log entries and feedback that could not be kept",
        "kind",
        "reason",
    ),
    _gauge("perennial_log_queue_entries", "Log entries and feedback that wait for MongoDB"),
    _gauge("perennial_registry_up", "1 while the registry answers every worker"),
    _gauge("perennial_model_cache_up", "1 while the disk keeps the models of every worker"),
)

# The exporter asks the registry and Prefect for these, and knows when each flow last succeeded.
EXPORTER = _by_name(
    _gauge("perennial_source_up", "1 while the source answers the exporter", "source"),
    _gauge(
        "perennial_problem_file_valid",
        "1 while the file of the problem can be used",
        "problem",
        "file",
    ),
    _of_flow(
        "perennial_flow_last_success_timestamp_seconds",
        "When the flow last succeeded for the problem",
    ),
    _of_flow(
        "perennial_flow_deadline_timestamp_seconds",
        "When the flow should have succeeded again, by its schedule",
    ),
    _of_flow("perennial_flow_runs_last_hour", "Flow runs of the last hour by state", "state"),
    _of_flow("perennial_flow_failed", "1 while the last run of the flow that is over has failed"),
    _gauge("perennial_problem_finding", "1 while a rule finds something", "problem", "rule"),
    _gauge("perennial_disk_free_ratio", "Share of the disk of DATA_DIR that is free"),
    _gauge(
        "perennial_answer_deadline_timestamp_seconds",
        "Until when a version waits for an answer",
        "problem",
        "version",
    ),
    _gauge("perennial_production_version", "Number of the version that is Production", "problem"),
    _gauge(
        "perennial_production_since_timestamp_seconds",
        "Since when that version is Production",
        "problem",
    ),
    _gauge(
        "perennial_holdout_metric",
        "Metric of Production on the holdout, when the version was made",
        "problem",
        "version",
        "metric",
    ),
)

# Flows measure these; the exporter shows what the last success of each flow found.
FLOWS = _by_name(
    # retrain
    _of_flow("perennial_flow_step_seconds", "Duration of each step of the last run", "step"),
    _of_flow(
        "perennial_documents",
        "Documents of the collection at the last retraining, by what became of them",
        "outcome",
    ),
    _of_flow(
        "perennial_document_changes",
        "Documents that the last retraining found changed, by what had happened to them",
        "change",
    ),
    _of_flow(
        "perennial_documents_quarantined",
        "Documents that were in quarantine at the last retraining, by reason and field",
        "reason",
        "field",
    ),
    _of_flow(
        "perennial_documents_dropped",
        "Documents that were dropped from quarantine, and are not read until they change",
    ),
    _of_flow("perennial_snapshot_documents", "Documents in the newest snapshot"),
    _of_flow(
        "perennial_checked_documents",
        "New documents that the last retraining compared with what Production expects",
    ),
    _of_flow(
        "perennial_unexpected_documents",
        "Those of them that break an expectation more often than before",
        "field",
        "what",
    ),
    _of_flow(
        "perennial_challenger_metric", "Metric of the last challenger on the holdout", "metric"
    ),
    _of_flow("perennial_verdict", "1 for the outcome of the last verdict", "outcome"),
    _of_flow(
        "perennial_production_since",
        "Metric of Production on holdout documents that arrived after it was made",
        "version",
        "metric",
        "end",
    ),
    _of_flow("perennial_production_since_documents", "Number of these documents", "version"),
    _of_flow(
        "perennial_selection_claimed",
        "Metric for which the last challenger that passed was chosen, on the holdout",
        "version",
        "metric",
    ),
    _of_flow(
        "perennial_selection_corrected", "The same without what may be chance", "version", "metric"
    ),
    # monitor
    _of_flow("perennial_drift_score", "Size of the drift that a test found", "test", "of"),
    _of_flow("perennial_drift_limit", "Size from which on a test finds drift", "test", "of"),
    _of_flow(
        "perennial_drift_found", "1 if the test found drift that is not explained", "test", "of"
    ),
    _of_flow("perennial_drift_runs", "Monitor runs in a row that found drift"),
    _of_flow("perennial_live_accuracy", "Accuracy by feedback, over the longest window", "version"),
    _of_flow(
        "perennial_live_accuracy_low",
        "Lower bound of the interval of the accuracy by feedback",
        "version",
    ),
    _of_flow(
        "perennial_live_accuracy_high",
        "Upper bound of the interval of the accuracy by feedback",
        "version",
    ),
    _of_flow(
        "perennial_live_answers", "Answers with a known truth behind the live accuracy", "version"
    ),
    _of_flow(
        "perennial_arrived_accuracy",
        "Accuracy on the labelled documents that arrived since the snapshot",
        "version",
    ),
    _of_flow(
        "perennial_arrived_accuracy_low",
        "Lower bound of the interval of the accuracy on arrived documents",
        "version",
    ),
    _of_flow(
        "perennial_arrived_accuracy_high",
        "Upper bound of the interval of the accuracy on arrived documents",
        "version",
    ),
    _of_flow(
        "perennial_arrived_part_accuracy",
        "The same by source and by each slice that the problem names, of at most twenty",
        "version",
        "part",
    ),
    _of_flow(
        "perennial_arrived_part_accuracy_low",
        "Lower bound of the interval of the accuracy on arrived documents of a slice",
        "version",
        "part",
    ),
    _of_flow(
        "perennial_arrived_part_accuracy_high",
        "Upper bound of the interval of the accuracy on arrived documents of a slice",
        "version",
        "part",
    ),
    _of_flow(
        "perennial_arrived_part_documents",
        "Labelled documents of the slice that arrived since the snapshot",
        "version",
        "part",
    ),
    _of_flow(
        "perennial_estimated_accuracy",
        "Accuracy estimated without labels, from the model's probabilities",
        "version",
        "of",
    ),
    _of_flow(
        "perennial_estimated_accuracy_low",
        "Lower bound of the interval of the estimated accuracy",
        "version",
        "of",
    ),
    _of_flow(
        "perennial_estimated_accuracy_high",
        "Upper bound of the interval of the estimated accuracy",
        "version",
        "of",
    ),
    _of_flow("perennial_production_age_seconds", "Age of the Production version"),
    _of_flow("perennial_newest_document_age_seconds", "Age of the newest document"),
    _of_flow("perennial_snapshot_age_seconds", "Age of the newest snapshot"),
    _of_flow("perennial_retraining_age_seconds", "Time since the last retraining"),
    _of_flow(
        "perennial_compared_answers",
        "Logged answers that were compared with what the registered model says",
        "version",
    ),
    _of_flow(
        "perennial_skewed_answers",
        "Logged answers that differ from what the registered model says",
        "version",
    ),
    _of_flow("perennial_recent_documents", "Documents that arrived since the snapshot"),
    _of_flow(
        "perennial_unusable_documents",
        "Documents that arrived since the snapshot and cannot be used",
    ),
    # judge
    _of_flow(
        "perennial_canary_requests_ratio",
        "Share of the requests that the last judgement leaves to the canary",
    ),
    _of_flow(
        "perennial_canary_worse_by_at_least",
        "Lower bound of how much worse than Production the canary is",
        "figure",
        "version",
    ),
    _of_flow(
        "perennial_canary_worse_allowed",
        "How much worse than Production the canary may be",
        "figure",
        "version",
    ),
    # score
    _of_flow("perennial_score_documents", "Documents that the last scoring classified"),
    _of_flow("perennial_score_skipped_documents", "Documents that the last scoring skipped"),
    _of_flow("perennial_score_seconds", "Duration of the last scoring"),
    _of_flow("perennial_score_version", "Number of the version that scored last"),
    # experiment
    _of_flow("perennial_experiment_holdout", "Metric of the last experiment's winner", "metric"),
    _of_flow("perennial_experiment_seconds", "Duration of the last experiment"),
    _of_flow(
        "perennial_experiment_candidates",
        "Candidates of the last experiment by outcome",
        "outcome",
    ),
)

FAMILIES = SERVICE | EXPORTER | FLOWS
_SERIES = {name for family in FAMILIES.values() for name in family.series}


def series(name: str) -> str:
    """Return the name of a series as it is, if there is one of that name.

    Raises
    ------
    LookupError
        If nothing exports it.
    """
    if name not in _SERIES:
        raise LookupError(f"perennial.prometheus lists no series {name}.")
    return name
