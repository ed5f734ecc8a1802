"""Compare: what an experiment found, as tables and pictures for a person to choose by."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

from matplotlib.figure import Figure
from prefect import task
from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.cache_policies import NO_CACHE
from rich.console import Console, Group

from perennial.commands import counted
from perennial.config.problem import Problem
from perennial.metrics import MetricName
from perennial.plots.experiment import Bar, comparison_plots
from perennial.registry.client import open_registry
from perennial.settings import get_settings
from tasks.experiment.explore import ExploreResult, shown
from tasks.reporting.tables import durations_table, holdout_table
from tasks.tables.base import TextTable
from tasks.training.evaluate import Evaluation


@dataclass(frozen=True, eq=False)
class ExperimentResult:
    """Everything that one experiment found.

    Attributes
    ----------
    results : sequence of ExploreResult
        Every candidate, the best first.
    winner : ExploreResult
        The best one.
    evaluation : Evaluation
        The winner on the holdout.
    seconds, processor_seconds : mapping of str to float
        How long each step took, and for how long processors worked meanwhile.
    written : bool
        Whether the winner is the problem's baseline now.
    """

    results: Sequence[ExploreResult]
    winner: ExploreResult
    evaluation: Evaluation
    seconds: Mapping[str, float]
    processor_seconds: Mapping[str, float]
    written: bool


@task(name="compare", cache_policy=NO_CACHE)
def compare(problem: Problem, run_id: str, experimented: ExperimentResult) -> None:
    """Show an experiment in the terminal, as Prefect artifacts, and as files of its MLflow run."""
    heading = headline(problem, experimented)
    comparison = comparison_table(problem, experimented.results)
    tables = [
        comparison,
        settings_table(experimented.results),
        holdout_table(experimented.evaluation),
        durations_table(experimented.seconds, experimented.processor_seconds),
    ]
    text = f"# {heading}\n\n" + "\n".join(table.markdown() for table in tables)
    figures = comparison_plots(
        [_bar(each) for each in experimented.results], problem.metric, problem.name
    )
    registry = open_registry(get_settings())
    registry.log_files(
        run_id, {"comparison.md": text}, {f"plots/{name}": f for name, f in figures.items()}
    )
    key = f"experiment-{problem.name}"
    create_markdown_artifact(key=key, markdown=text, description=heading)
    create_table_artifact(
        key=f"{key}-table",
        table=[dict(zip(comparison.head, row, strict=True)) for row in comparison.rows],
        description=comparison.title,
    )
    for name, figure in figures.items():
        stem = name.removesuffix(".png")
        create_image_artifact(key=f"{key}-{stem}", image_url=_address(figure), description=stem)
    Console().print(Group(*(table.rich() for table in tables)), f"[bold]{heading}[/bold]")


def headline(problem: Problem, experimented: ExperimentResult) -> str:
    """Return the outcome of an experiment in one line."""
    winner, found = experimented.winner, experimented.evaluation.metrics[problem.metric]
    written = (
        f", written to problems/{problem.name}.yaml as its baseline" if experimented.written else ""
    )
    return (
        f"{problem.name}: the winner is {winner.name}, {problem.metric} {found} on the "
        f"holdout{written}"
    )


def comparison_table(problem: Problem, results: Sequence[ExploreResult]) -> TextTable:
    """Return a table: every candidate in its best setting, the best first."""
    candidates = counted(len(results), "candidate")
    return TextTable(
        f"{candidates}, {problem.experiment.folds}-fold cross-validation on the training documents",
        ("candidate", problem.metric, "settings", "fit s", "outcome"),
        [_row(problem, each) for each in results],
    )


def _row(problem: Problem, each: ExploreResult) -> tuple[str, ...]:
    best, settings = each.best, f"{len(each.tried)} of {each.settings}"
    outcome = f"{each.outcome}: {each.reason}" if each.reason else each.outcome
    if best is None:
        return each.name, "", settings, "", outcome
    value = str(best.interval) if best.interval else f"{best.metrics[problem.metric]:.4f}"
    return each.name, value, settings, f"{best.seconds:.2f}", outcome


def settings_table(results: Sequence[ExploreResult]) -> TextTable:
    """Return a table: the best setting of every candidate, and what else it shows there."""
    shown_metrics: tuple[MetricName, ...] = ("f1", "roc_auc", "log_loss")
    return TextTable(
        "The best setting of each",
        ("candidate", *shown_metrics, "parameters"),
        [
            (
                each.name,
                *(f"{each.best.metrics[metric]:.4f}" for metric in shown_metrics),
                shown(each.best.parameters),
            )
            for each in results
            if each.best is not None
        ],
    )


def _bar(each: ExploreResult) -> Bar:
    best = each.best
    name = each.name if each.outcome == "complete" else f"{each.name} ({each.outcome})"
    if best is None or best.interval is None:
        return Bar(name, None, each.seconds)
    return Bar(name, best.interval, best.seconds)


def _address(figure: Figure) -> str:
    """Return a picture as an address that holds the picture itself."""
    file = BytesIO()
    figure.savefig(file, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
