"""Vectors: those that a run embeds are kept for the next one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging import get_run_logger

from perennial.commands import counted
from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate
from perennial.embeddings.encoder import is_of_sentences
from perennial.embeddings.kept import kept_vectors
from perennial.settings import get_settings


@contextmanager
def vectors_kept(problem: Problem) -> Iterator[None]:
    """Keep the vectors of sentences of a run, and say at its end how many were there already."""
    features = [
        each.features for each in problem.candidates.values() if isinstance(each, Candidate)
    ]
    if not any(is_of_sentences(each.embedding) for each in features):
        yield
        return
    settings = get_settings()
    with kept_vectors(settings.data_dir, settings.vectors_limit) as kept:
        yield
    get_run_logger().info(
        "Embedded %s; the vectors of %s were known.",
        counted(kept.embedded, "text"),
        f"{kept.known:,}",
    )
