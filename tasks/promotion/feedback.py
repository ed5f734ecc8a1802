"""Feedback in a verdict: with how much of what each sender says Production agrees."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow.compute as pc

from perennial.config.problem import Problem
from perennial.config.sections.feedback import SENDER
from perennial.gates.base import FeedbackAgreement
from perennial.inputs.base import inputs_of
from perennial.registry.client import ModelVersion
from tasks.data.prepare import Holdout
from tasks.promotion.unseen import feedback_learned_by
from tasks.training.train import predict


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
    inputs = shown[inputs_of(problem).column.name].combine_chunks()
    labels = np.asarray(shown["label"].to_pylist(), np.str_)
    answers = predict(problem, model, inputs, labels)
    senders = np.asarray(shown[SENDER].to_pylist(), np.str_)
    documents = Counter(senders.tolist())
    agreeing = Counter(senders[answers.predicted == answers.truth].tolist())
    return tuple(
        FeedbackAgreement(sender, count, agreeing[sender]) for sender, count in documents.items()
    )
