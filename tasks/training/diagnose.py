"""Diagnose: what holds the challenger back, by label, by wrong labels and by their number.

None of it decides anything, and none of it ends a retraining.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from perennial.commands import command, counted
from perennial.config.problem import Problem
from perennial.hashing import unit
from perennial.metrics import METRICS, Predictions
from perennial.metrics.evaluation.by_label import LabelResult, results_by_label
from perennial.registry.client import open_registry
from perennial.registry.label_issues import (
    LABEL_ISSUES_FILE,
    LABEL_ISSUES_METRIC,
    StoredIssue,
    written,
)
from perennial.settings import get_settings
from perennial.training.ablation import FieldAblation, ablate
from perennial.training.convergence import end_of_fit
from perennial.training.field_importance import FieldImportance, field_importances
from perennial.training.fitting import fit
from perennial.training.label_issues import label_issues, opinion, second_opinions
from perennial.training.learning_curve import LearningCurve, learning_curve
from perennial.training.out_of_fold import stratified_folds
from perennial.training.pipelines import (
    assemble,
    build_classifier,
    build_counter,
    build_normalizer,
)
from perennial.training.threshold_tuning import with_decision
from tasks.data.prepare import Dataset
from tasks.orchestration.retries import COMPUTING_SECONDS
from tasks.training.evaluate import Evaluation
from tasks.training.growth import earlier_fits, iterations_metric, said_of_growth
from tasks.training.train import Challenger, predict

BY_LABEL_FILE, CURVE_FILE = "by_label.csv", "learning_curve.csv"
FIELDS_FILE, ABLATION_FILE = "field_importance.csv", "field_ablation.csv"
MOST_ISSUES = 100
# Each is two rounds of predictions at least.
MOST_FIELDS = 100
_FOLDS = 5
# All of this is seven more fits or so. Somebody who waits does so for short ones alone.
LONGEST_FIT, LONGEST_FIT_WAITED_FOR = 60.0, 1.0
# Without each field there is one more fit.
LONGEST_ABLATION, LONGEST_ABLATION_WAITED_FOR = 600.0, 5.0
T = TypeVar("T")


@dataclass(frozen=True)
class LabelIssues:
    """The training documents whose labels look wrong.

    Attributes
    ----------
    first : tuple of StoredIssue
        The clearest of them, at most `MOST_ISSUES`.
    pairs : mapping of (str, str) to int
        How often a label looks like another one, the most frequent pair first.
    count : int
        How many there are.
    documents : int
        How many documents were looked at.
    """

    first: tuple[StoredIssue, ...]
    pairs: dict[tuple[str, str], int]
    count: int
    documents: int


@dataclass(frozen=True)
class Diagnosis:
    """What holds the challenger back.

    Attributes
    ----------
    by_label : tuple of LabelResult
        What it shows on each label of the holdout.
    issues : LabelIssues or None
        The labels that look wrong; None if they were not looked for.
    curve : LearningCurve or None
        What it is with fewer documents; None if that was not tried.
    fields : tuple of FieldImportance
        What the fields of records are worth to it, the most important one first.
    ablation : tuple of FieldAblation
        What the fields bring, by fits without each of them; empty if that was not tried.
    growth : tuple of str
        What its hyperparameters no longer suit, a sentence each.
    """

    by_label: tuple[LabelResult, ...]
    issues: LabelIssues | None = None
    curve: LearningCurve | None = None
    fields: tuple[FieldImportance, ...] = ()
    ablation: tuple[FieldAblation, ...] = ()
    growth: tuple[str, ...] = ()


@task(name="diagnose", cache_policy=NO_CACHE, timeout_seconds=COMPUTING_SECONDS)
def diagnose(
    problem: Problem,
    dataset: Dataset,
    challenger: Challenger,
    evaluation: Evaluation,
    run_id: str,
    *,
    thorough: bool,
) -> Diagnosis:
    """Return figures by label, labels that look wrong and the learning curve; keep them with runs.

    The list of labels belongs to the retraining's run, the rest to the challenger's. Unless it is
    `thorough`, the list and the curve are left out where they take longer than a few seconds.
    """
    found = Diagnosis(
        by_label=tuple(results_by_label(evaluation.predictions)),
        fields=_tried("What the fields are worth", lambda: _fields(problem, dataset, challenger))
        or (),
        growth=_tried("What earlier fits took", lambda: _growth(problem, dataset, challenger))
        or (),
    )
    budget = LONGEST_ABLATION if thorough else LONGEST_ABLATION_WAITED_FOR
    if found.fields and challenger.seconds * len(found.fields) <= budget:
        ablation = _tried(
            "What the fields bring",
            lambda: _ablation(problem, dataset, challenger, evaluation.predictions),
        )
        found = replace(found, ablation=ablation or ())
    longest = LONGEST_FIT if thorough else LONGEST_FIT_WAITED_FOR
    if challenger.seconds <= longest:
        issues = _tried("Labels that look wrong", lambda: _issues(problem, dataset, challenger))
        curve = _tried(
            "The learning curve",
            lambda: _curve(problem, dataset, challenger, evaluation.predictions),
        )
        found = replace(found, issues=issues, curve=curve)
    else:
        remedy = f"`{command('retrain', problem.name, '--force', '--thorough')}` looks for them"
        get_run_logger().info(
            "Labels that look wrong and the learning curve are left out, as a fit of %s takes "
            "%.1f s, more than %.0f s%s.",
            challenger.result.name,
            challenger.seconds,
            longest,
            "" if thorough else f"; {remedy}",
        )
    _keep(challenger.result.run_id, run_id, found)
    _say(problem, found)
    return found


def _tried(what: str, find: Callable[[], T | None]) -> T | None:
    """Return what is found; None if a library cannot, which is said."""
    try:
        return find()
    except Exception as error:  # noqa: BLE001 - whatever a library raises, the retraining goes on
        get_run_logger().warning("%s could not be found out: %s", what, error)
        return None


def _growth(problem: Problem, dataset: Dataset, challenger: Challenger) -> tuple[str, ...]:
    name = challenger.result.name
    candidate = problem.candidates[name]
    counted_by = iterations_metric(problem, name, dataset.counts_of(candidate).matrix)
    earlier = earlier_fits(problem, open_registry(get_settings()), name, counted_by)
    end = end_of_fit(challenger.model[-1])
    iterations = None if end.limit is None else end.used
    return said_of_growth(problem, name, len(dataset.labels), iterations, earlier)


def _fields(
    problem: Problem, dataset: Dataset, challenger: Challenger
) -> tuple[FieldImportance, ...]:
    if problem.inputs is None:
        return ()
    if len(problem.inputs) > MOST_FIELDS:
        get_run_logger().info(
            "What the fields are worth is left out: of %s fields each alone is worth little, and "
            "it is found out of %d at most.",
            f"{len(problem.inputs):,}",
            MOST_FIELDS,
        )
        return ()
    return field_importances(
        problem.metric,
        dataset.holdout_inputs,
        lambda some, places: predict(
            problem, challenger.model, some, dataset.holdout_labels[places]
        ),
        seed=problem.seed,
    )


def _ablation(
    problem: Problem, dataset: Dataset, challenger: Challenger, full: Predictions
) -> tuple[FieldAblation, ...]:
    inputs, name = problem.inputs or {}, challenger.result.name
    if len(inputs) <= 1:
        return ()
    candidate = problem.candidates[name]

    def without(field: str) -> Predictions:
        rest = {each: spec for each, spec in inputs.items() if each != field}
        fewer = problem.model_copy(update={"inputs": rest})
        training, holdout = (
            _select(part, rest) for part in (dataset.inputs, dataset.holdout_inputs)
        )
        normalizer, counter = build_normalizer(fewer, candidate), build_counter(candidate.features)
        matrix = counter.fit_transform(normalizer.fit_transform(training))
        model = fit(build_classifier(fewer, name), matrix, dataset.labels)
        if challenger.tuned is not None:
            model = with_decision(model, challenger.tuned)
        whole = assemble(normalizer, counter, model)
        return predict(fewer, whole, holdout, dataset.holdout_labels)

    # Of many fields one would be thought harmful by chance.
    surely = 1 - (1 - problem.gates.confidence) / len(inputs)
    return ablate(problem.metric, list(inputs), full, without, confidence=surely, seed=problem.seed)


def _select(records: pa.StructArray, names: Iterable[str]) -> pa.StructArray:
    fields = [records.type.field(name) for name in names]
    return pa.StructArray.from_arrays([records.field(each.name) for each in fields], fields=fields)


def _issues(problem: Problem, dataset: Dataset, challenger: Challenger) -> LabelIssues | None:
    counts = Counter(dataset.labels[dataset.judged].tolist())
    if min(counts[label] for label in problem.classes) < _FOLDS:
        get_run_logger().info(
            "Labels that look wrong are not looked for: a label has fewer than %d training "
            "documents.",
            _FOLDS,
        )
        return None
    name, classes = challenger.result.name, problem.classes
    matrix = dataset.counts_of(problem.candidates[name]).matrix
    folds = stratified_folds(
        dataset.labels, dataset.judged, dataset.bonds, folds=_FOLDS, seed=problem.seed
    )
    models = [build_classifier(problem, name), *second_opinions(matrix, len(classes))]
    probabilities, asked = opinion(models, matrix, dataset.labels, classes, folds)
    found = label_issues(probabilities, dataset.labels[asked], classes)
    ids = dataset.ids.filter(asked).to_pylist()
    return LabelIssues(
        first=tuple(
            StoredIssue(ids[each.position], each.label, each.likely_label, round(each.margin, 4))
            for each in found[:MOST_ISSUES]
        ),
        pairs=dict(Counter((each.label, each.likely_label) for each in found).most_common()),
        count=len(found),
        documents=len(ids),
    )


def _curve(
    problem: Problem, dataset: Dataset, challenger: Challenger, full: Predictions
) -> LearningCurve | None:
    name = challenger.result.name
    matrix = dataset.counts_of(problem.candidates[name]).matrix
    # Counted once: what is left are the steps that learn from labels.
    holdout = challenger.model[:2].transform(dataset.holdout_inputs)

    def fit_and_predict(part: NDArray[np.bool_]) -> Predictions:
        model = fit(build_classifier(problem, name), matrix[part], dataset.labels[part])
        if challenger.tuned is not None:
            model = with_decision(model, challenger.tuned)
        return predict(problem, model, holdout, dataset.holdout_labels)

    return learning_curve(
        problem.metric,
        # The other half of each digest keeps documents in the holdout.
        unit(dataset.bonds.keys, 1),
        full,
        fit_and_predict,
        confidence=problem.gates.confidence,
        seed=problem.seed,
    )


def _keep(challenger_run: str, run_id: str, found: Diagnosis) -> None:
    registry = open_registry(get_settings())
    registry.attach(challenger_run, {BY_LABEL_FILE: _csv([asdict(e) for e in found.by_label])})
    if found.fields:
        registry.attach(challenger_run, {FIELDS_FILE: _csv([asdict(e) for e in found.fields])})
    if found.ablation:
        rows = [
            {"field": e.field, "gain": e.gain.value, "low": e.gain.low, "high": e.gain.high}
            for e in found.ablation
        ]
        registry.attach(challenger_run, {ABLATION_FILE: _csv(rows)})
    if found.curve is not None:
        points = [asdict(each) for each in found.curve.points]
        registry.attach(challenger_run, {CURVE_FILE: _csv(points)})
        registry.log(
            challenger_run,
            metrics={
                "learning_curve.last_doubling": found.curve.last_doubling.value,
                "learning_curve.next_doubling": found.curve.next_doubling,
            },
        )
    if found.issues is not None:
        # First the figure by which an erasure finds the list.
        registry.log(run_id, metrics={LABEL_ISSUES_METRIC: found.issues.count})
        registry.attach(run_id, {LABEL_ISSUES_FILE: written(found.issues.first)})


def _csv(rows: Sequence[dict[str, object]]) -> bytes:
    file = io.StringIO()
    table = csv.DictWriter(file, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    return file.getvalue().encode("utf-8", "surrogatepass")


def _say(problem: Problem, found: Diagnosis) -> None:
    logger = get_run_logger()
    for sentence in found.growth:
        logger.warning(sentence)
    if found.issues is not None and found.issues.count:
        logger.info(
            "The labels of %s look wrong to models that have not seen them; `%s` lists them.",
            f"{found.issues.count:,} of {counted(found.issues.documents, 'training document')}",
            command("check", problem.name, "--labels"),
        )
    harmful = [each.field for each in found.ablation if each.gain.high < 0]
    if harmful:
        logger.warning(
            "The candidate is proved to be better without %s; leave it out of inputs in "
            "problems/%s.yaml, one field at a time.",
            " and without ".join(harmful),
            problem.name,
        )
    if found.curve is not None:
        logger.info("%s.", forecast(found.curve))


def forecast(curve: LearningCurve) -> str:
    """Return what more labels would bring, as a sentence without its full stop."""
    amount = curve.next_doubling * METRICS[curve.metric].sign
    if not curve.is_seen or curve.next_doubling <= 0:
        return (
            "Twice the labels would bring nothing that this holdout shows: the last doubling "
            f"changed {curve.metric} by {curve.last_doubling.value:+.4f} "
            f"[{curve.last_doubling.low:+.4f}, {curve.last_doubling.high:+.4f}]"
        )
    return f"Twice the labels would change {curve.metric} by about {amount:+.4f}"
