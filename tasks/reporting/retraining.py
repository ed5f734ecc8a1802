"""Report: what a retraining did, for the person at the terminal and the one at the Prefect UI."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from rich.console import Console, Group

from perennial.config.problem import Problem
from perennial.libraries import uses_embedded_prefect
from perennial.promotion.verdict import Verdict
from perennial.registry.client import open_registry
from perennial.settings import get_settings
from perennial.splits.summary import SplitSummary
from perennial.text.analyzer import AnalyzerChoice
from tasks.data.expectations import Arrivals
from tasks.data.ingest import IngestResult
from tasks.orchestration.retries import NETWORK
from tasks.promotion.questions import describe
from tasks.reporting.diagnosis import compared_table, diagnosis_tables
from tasks.reporting.tables import (
    arrivals_table,
    candidates_table,
    decision_table,
    documents_table,
    durations_table,
    failures_table,
    holdout_table,
    split_table,
)
from tasks.rollout import canary
from tasks.tables.base import TextTable
from tasks.tables.promotion import baselines_table, figures_table, gates_table
from tasks.training.diagnose import Diagnosis
from tasks.training.evaluate import Evaluation
from tasks.training.train import CandidateResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Small: four pictures of about 10 kB each in every report.
_PICTURE_DPI = 60


@dataclass(frozen=True, eq=False)
class Retraining:
    """Everything that one retraining did.

    Attributes
    ----------
    ingested : IngestResult
        What came in.
    candidates : sequence of CandidateResult
        What was tried; empty when there was nothing to do.
    evaluation : Evaluation or None
        The challenger on the holdout.
    verdict : Verdict or None
        The outcome; None when there was nothing to do.
    run_id : str or None
        The run in MLflow.
    seconds, processor_seconds : mapping of str to float
        How long each step took, and for how long processors worked meanwhile.
    feedback_documents : int or None
        How many documents of the snapshot are feedback; None when there was nothing to do.
    split : SplitSummary or None
        How the documents were divided; None when there was nothing to do.
    feedback_left_out : int
        How many of them were more than their share of the training documents.
    analyzer : AnalyzerChoice or None
        What was counted in texts, where that was left to the documents.
    diagnosis : Diagnosis or None
        What holds the challenger back; None when there was nothing to do.
    arrivals : Arrivals or None
        New documents beside what Production expects of them; None where nothing can be said.
    """

    ingested: IngestResult
    seconds: Mapping[str, float]
    processor_seconds: Mapping[str, float]
    candidates: Sequence[CandidateResult] = ()
    evaluation: Evaluation | None = None
    verdict: Verdict | None = None
    run_id: str | None = None
    feedback_documents: int | None = None
    split: SplitSummary | None = None
    feedback_left_out: int = 0
    analyzer: AnalyzerChoice | None = None
    diagnosis: Diagnosis | None = None
    arrivals: Arrivals | None = None


@task(name="report", cache_policy=NO_CACHE, **NETWORK)
def report(problem: Problem, retraining: Retraining) -> None:
    """Show a retraining as a Prefect artifact and as tables in the terminal."""
    tables = _tables(problem, retraining)
    heading = headline(problem, retraining)
    question = _question(problem, retraining)
    create_markdown_artifact(
        key=f"retrain-{problem.name}",
        markdown="\n".join(
            [
                f"# {heading}\n",
                *(f"{sentence}\n" for sentence in question),
                *links(problem, retraining),
                *(table.markdown() for table in tables),
                *pictures(problem, retraining),
            ]
        ),
        description=heading,
    )
    console = Console()
    console.print(Group(*(table.rich() for table in tables)), f"[bold]{heading}[/bold]")
    for sentence in question:
        # In one line, however narrow the terminal is: it has a command to be copied.
        console.print(sentence, soft_wrap=True, markup=False)


def _question(problem: Problem, retraining: Retraining) -> list[str]:
    """Return how a person answers about the challenger; nothing when nobody is asked."""
    verdict = retraining.verdict
    return [describe(problem.name, verdict)] if verdict is not None and verdict.waits else []


def links(problem: Problem, retraining: Retraining) -> list[str]:
    """Return where the run and the version are in MLflow, in Markdown; nothing without its pages.

    Raises
    ------
    OutsideError
        If MLflow fails.
    """
    if retraining.verdict is None or retraining.run_id is None:
        return []
    registry, number = open_registry(get_settings()), retraining.verdict.challenger
    found = {
        f"Version {number} in MLflow": registry.page(problem.name, version=number),
        "Run in MLflow": registry.page(problem.name, run_id=retraining.run_id),
    }
    shown = [f"[{text}]({address})" for text, address in found.items() if address]
    return [" · ".join(shown) + "\n"] if shown else []


def pictures(problem: Problem, retraining: Retraining) -> list[str]:
    """Return the plots of the evaluation in Markdown, the pictures in the text itself.

    So they are seen by whoever sees the page, without rights in MLflow. The embedded Prefect server
    has no pages: nothing is drawn for it.
    """
    if retraining.evaluation is None or uses_embedded_prefect():
        return []
    # See `tasks.training.preload`.
    from perennial.plots.evaluation import evaluation_plots

    plots = evaluation_plots(retraining.evaluation.predictions, problem.name)
    drawn = (f"![{name}](data:image/png;base64,{_png(plot)})" for name, plot in plots.items())
    return ["## Challenger on the holdout, in pictures\n", " ".join(drawn)]


def _png(plot: Figure) -> str:
    buffer = BytesIO()
    plot.savefig(buffer, format="png", dpi=_PICTURE_DPI)
    return b64encode(buffer.getvalue()).decode()


def headline(problem: Problem, retraining: Retraining) -> str:
    """Return the outcome of a retraining in one line."""
    if retraining.verdict is None:
        return f"{problem.name}: nothing new, nothing to do; Production stays as it is"
    return outcome(problem, retraining.verdict)


def outcome(problem: Problem, verdict: Verdict) -> str:
    """Return the outcome of a verdict in one line."""
    if verdict.waits:
        return (
            f"{problem.name}: waiting, version {verdict.challenger} has passed every gate and a "
            f"person decides; {_production(verdict)} until then"
        )
    if verdict.outcome == "promoted" and canary.is_wanted(problem, verdict.production):
        share = f"{problem.rollout.steps[0]:.0%}"
        return (
            f"{problem.name}: passed, version {verdict.challenger} answers {share} of the requests "
            f"as the canary; Production stays version {verdict.production} until it is judged"
        )
    if verdict.outcome == "promoted":
        return f"{problem.name}: promoted, Production is now version {verdict.challenger}"
    if verdict.is_unconfirmed:
        return (
            f"{problem.name}: kept, version {verdict.challenger} has passed every gate and waits "
            f"to be confirmed; {_production(verdict)} until then ({verdict.reason})"
        )
    kept = "kept" if verdict.production is not None else "kept out"
    return f"{problem.name}: {kept}, {_production(verdict)} ({verdict.reason})"


def _production(verdict: Verdict) -> str:
    if verdict.production is None:
        return "there is no Production version yet"
    return f"Production stays version {verdict.production}"


def _documents_table(problem: Problem, retraining: Retraining) -> TextTable:
    feedback = retraining.feedback_documents, retraining.feedback_left_out
    return documents_table(problem, retraining.ingested, *feedback)


def _tables(problem: Problem, retraining: Retraining) -> list[TextTable]:
    tables = [_documents_table(problem, retraining)]
    if retraining.split is not None:
        tables.append(split_table(retraining.split, retraining.analyzer))
    if retraining.arrivals is not None:
        tables.append(arrivals_table(retraining.arrivals))
    if retraining.candidates:
        tables.append(candidates_table(problem, retraining.candidates))
        failures = failures_table(retraining.candidates)
        tables += [failures] if failures is not None else []
    if retraining.evaluation is not None:
        tables.append(holdout_table(retraining.evaluation))
        decision = decision_table(retraining.evaluation)
        tables += [decision] if decision is not None else []
    if retraining.diagnosis is not None:
        tables += diagnosis_tables(problem, retraining.diagnosis)
    if retraining.verdict is not None:
        beside = compared_table(retraining.verdict)
        tables += [beside] if beside is not None else []
        simple = baselines_table(retraining.verdict)
        tables += [simple] if simple is not None else []
        tables.append(gates_table(retraining.verdict))
        figures = figures_table(retraining.verdict)
        tables += [figures] if figures is not None else []
    return [*tables, durations_table(retraining.seconds, retraining.processor_seconds)]
