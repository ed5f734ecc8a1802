"""Feedback in a verdict: with how much of what each sender says Production agrees."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial.config.feedback import SENDER
from perennial.config.problem import Problem
from perennial.gates.base import FeedbackAgreement
from perennial.inputs.base import inputs_of
from perennial.registry.client import ModelVersion
from tasks.data.prepare import Holdout
from tasks.promotion.unseen import feedback_learned_by


def feedback_agreements(
    problem: Problem, holdout: Holdout, production: ModelVersion, model: Any
) -> tuple[FeedbackAgreement, ...]:
    """Return how much of the newest feedback that it has not learned from Production agrees with.

    Parameters
    ----------
    problem : Problem
        The problem.
    holdout : Holdout
        The holdout, with the newest feedback of its snapshot that is not judged on.
    production : ModelVersion
        The Production version.
    model : Pipeline
        Its model.

    Raises
    ------
    OutsideError
        If the snapshots cannot be used.
    """
    shown = holdout.shown_feedback
    if not len(shown):
        return ()
    learned = feedback_learned_by(problem, production, holdout.snapshot)
    shown = shown.filter(pc.invert(pc.is_in(shown["content"], learned)))
    if not len(shown):
        return ()
    inputs: pa.Array = shown[inputs_of(problem).column.name].combine_chunks()
    given = model.predict(inputs)
    senders, labels = shown[SENDER].to_pylist(), shown["label"].to_pylist()
    documents = Counter(senders)
    agreeing = Counter(
        sender
        for sender, label, answer in zip(senders, labels, given, strict=True)
        if label == str(answer)
    )
    return tuple(
        FeedbackAgreement(sender, count, agreeing[sender]) for sender, count in documents.items()
    )
