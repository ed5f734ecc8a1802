"""The dashboard of flows."""

from __future__ import annotations

from perennial.prometheus import series
from tools.dashboards.draw import Board, Graph, Number, Query
from tools.dashboards.queries import HERE, latest, runs

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
                "sum(" + runs("flow, state", ',state=~"failed|crashed|timedout"') + ")",
                "failed",
            ),
        ),
        Number(
            "Late",
            "Runs that should have started.",
            "none",
            Query(
                "sum(" + runs("flow", ',state="late"') + ")",
                "late",
            ),
        ),
        Number(
            "Last retraining",
            "How long ago a retraining succeeded.",
            "s",
            Query(
                "time() - "
                + latest("flow_last_success_timestamp_seconds", "problem", ',flow="retrain"'),
                "{{problem}}",
            ),
        ),
        Number(
            "Sources",
            "Of MongoDB, the registry and Prefect: how many answer the exporter.",
            "none",
            Query(f"sum(min by (source) ({series('perennial_source_up')}{{{HERE}}}))", "sources"),
        ),
        Graph(
            "Runs of the last hour",
            "By flow and state.",
            "none",
            [
                Query(
                    runs("flow, state"),
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
                    "time() - " + latest("flow_last_success_timestamp_seconds", "flow, problem"),
                    "{{flow}} {{problem}}",
                )
            ],
        ),
        Graph(
            "Steps of a retraining",
            "How long each step of the last one took.",
            "s",
            [Query(latest("flow_step_seconds", "problem, step"), "{{problem}} {{step}}")],
            stacked=True,
        ),
        Graph(
            "Documents of a retraining",
            "What the last one found changed, and what became of all.",
            "none",
            [
                Query(latest("document_changes", "problem, change"), "{{problem}} {{change}}"),
                Query(latest("documents", "problem, outcome"), "{{problem}} {{outcome}}"),
            ],
        ),
        Graph(
            "Snapshot",
            "Documents in the newest snapshot.",
            "none",
            [Query(latest("snapshot_documents", "problem"), "{{problem}}")],
        ),
        Graph(
            "Arrived",
            "Documents that are newer than the snapshot, and those of them that cannot be used.",
            "none",
            [
                Query(latest("recent_documents", "problem"), "{{problem}}"),
                Query(latest("unusable_documents", "problem"), "{{problem}} unusable"),
            ],
        ),
    ),
)
