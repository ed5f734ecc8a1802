"""The comparison of a sample of recent inputs with those that Production was examined on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from perennial.config.sections.monitoring import Monitoring
from perennial.embeddings.counter import EmbeddedCounter
from perennial.monitoring.domain_classifier import WordShift, tell_apart
from perennial.monitoring.drift_tests import (
    Column,
    DriftTest,
    Of,
    categories,
    columns,
    correctness,
    rates,
    separation,
)
from perennial.text.characters import CharacterCounter
from perennial.text.ngrams import NgramCounter
from perennial.text.words_and_characters import WordAndCharacterCounter

Floats = NDArray[np.float64]
TEXT = "text"
# The names of our own tests; a feature that is called so gets another name.
_OWN = frozenset(
    {"words", "length", "unknown_words", "labels", "predicted_labels", "confidence", "accuracy"}
)


_COUNTERS = (NgramCounter, CharacterCounter, WordAndCharacterCounter, EmbeddedCounter)


@dataclass(frozen=True, eq=False)
class Sample:
    """Inputs, what Production says about them, and the truth where it is known.

    Attributes
    ----------
    inputs : Table of n_inputs rows
        A column ``text``, or one column per feature; no columns if the inputs were not kept.
    predicted : ndarray of str, shape (n_inputs,)
        The labels that Production gives.
    confidence : ndarray of float64, shape (n_inputs,)
        Production's probability of that label.
    truth : ndarray of object, shape (n_inputs,)
        The true label; None where nobody has told it.
    created_at : ndarray of datetime64, shape (n_inputs,), or None
        When each was created, where that is known.
    senders : ndarray of object, shape (n_inputs,), or None
        Digest of the request key of each, None without one; None where nobody has any.
    """

    inputs: pa.Table
    predicted: NDArray[np.str_]
    confidence: Floats
    truth: NDArray[np.object_]
    created_at: NDArray[np.datetime64] | None = None
    senders: NDArray[np.object_] | None = None

    def take(self, rows: NDArray[np.bool_]) -> Sample:
        """Return some of them."""
        return Sample(
            self.inputs.filter(pa.array(rows)) if self.inputs.num_columns else self.inputs,
            self.predicted[rows],
            self.confidence[rows],
            self.truth[rows],
            None if self.created_at is None else self.created_at[rows],
            None if self.senders is None else self.senders[rows],
        )

    def __len__(self) -> int:
        return len(self.predicted)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where the truth is known, shape (n_inputs,)."""
        return np.array([label is not None for label in self.truth], np.bool_)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether Production is right, shape (n_known,)."""
        known = self.known
        right: NDArray[np.bool_] = self.predicted[known] == self.truth[known].astype(np.str_)
        return right

    @property
    def texts(self) -> list[str]:
        """The texts, if the inputs are texts."""
        return list(self.inputs[TEXT].to_pylist()) if TEXT in self.inputs.column_names else []


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison found, before it is known which findings count.

    Attributes
    ----------
    of : {"documents", "predictions"}
        What was compared with the reference.
    tests : tuple of DriftTest
        Every test that had enough to go by.
    words : tuple of WordShift
        The words that have changed most, for texts.
    numbers : tuple of Column
        Both samples of every number that was tested, to be drawn.
    """

    of: Of
    tests: tuple[DriftTest, ...] = ()
    words: tuple[WordShift, ...] = ()
    numbers: tuple[Column, ...] = ()


def compare(
    of: Of, before: Sample, now: Sample, *, model: Pipeline, monitoring: Monitoring, seed: int
) -> Comparison:
    """Compare a recent sample with the reference in every way that its columns allow.

    Parameters
    ----------
    of : {"documents", "predictions"}
        What the recent sample is of.
    before, now : Sample
        The reference, on which Production was not trained, and the recent sample.
    model : Pipeline
        Production, for the words that it knows.
    monitoring : Monitoring
        The limits, and how few inputs tell nothing.
    seed : int
        Of the domain classifier.
    """
    least, limits = monitoring.min_documents, monitoring.limits
    if min(len(before), len(now)) < least:
        return Comparison(of)
    found = list(_numbers(before, now))
    tests = [column.test(of, limits.distribution) for column in found]
    words: tuple[WordShift, ...] = ()
    if before.texts and now.texts:
        apart = tell_apart(before.texts, now.texts, seed=seed)
        if apart is not None:
            words = apart.words
            tests.append(separation("words", of, apart, limits.words))
        unknown = [unknown_words(model, sample.texts) for sample in (before, now)]
        if unknown[0] is not None and unknown[1] is not None:
            tests.append(rates("unknown_words", of, unknown[0], unknown[1], limits.unknown_words))
    for name, old, new in _labels(before, now):
        tests.append(categories(name, of, old, new, limits.distribution))
    if min(before.known.sum(), now.known.sum()) >= least:
        tests.append(correctness("accuracy", of, before.right, now.right, limits.accuracy_drop))
    numeric = tuple(column for column in found if isinstance(column.now, np.ndarray))
    return Comparison(of, tuple(tests), words, numeric)


def unknown_words(model: Pipeline, texts: Sequence[str]) -> Floats | None:
    """Return the share of each text's words, or groups of characters, that a model does not know.

    Parameters
    ----------
    model : Pipeline
        What it counts is what its counter does, after its own normalisation.
    texts : sequence of str
        Raw texts; one without words counts as known.

    Returns
    -------
    ndarray of float64, shape (n_texts,), or None
        None if the model counts nothing in texts.
    """
    steps = [step for _, step in model.steps]
    place = next((i for i, step in enumerate(steps) if isinstance(step, _COUNTERS)), None)
    if not place:
        return None
    tokens = model[:place].transform(texts)
    known, total = steps[place].recognised(tokens.vocabulary)
    documents = np.repeat(np.arange(len(tokens)), tokens.lengths)
    unknown, whole = (
        np.bincount(documents, weights=each[tokens.ids], minlength=len(tokens))
        for each in (total - known, total)
    )
    shares: Floats = unknown / np.maximum(whole, 1)
    return shares


def _numbers(before: Sample, now: Sample) -> Iterator[Column]:
    """Yield the columns to compare: what the inputs have, the length of texts, the confidence."""
    if before.texts and now.texts:
        yield Column("length", *(_lengths(sample.inputs[TEXT]) for sample in (before, now)))
    features = [
        sample.inputs.drop_columns([TEXT]) if TEXT in sample.inputs.column_names else sample.inputs
        for sample in (before, now)
    ]
    for column in columns(*features):
        yield replace(column, name=f"{column.name}_input") if column.name in _OWN else column
    yield Column("confidence", before.confidence, now.confidence)


def _lengths(texts: pa.ChunkedArray) -> Floats:
    lengths: Floats = pc.utf8_length(texts).to_numpy().astype(np.float64)
    return lengths


def _labels(before: Sample, now: Sample) -> Iterator[tuple[str, list[object], list[object]]]:
    yield "predicted_labels", before.predicted.tolist(), now.predicted.tolist()
    # Where people choose what they label, the shares are those of their choice.
    if now.known.all():
        yield "labels", before.truth.tolist(), now.truth.tolist()
