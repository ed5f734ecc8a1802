"""Scorers: what answers with a fitted model, as fast as its kind allows.

A pipeline of scikit-learn spends most of its time for one text on the calls between its parts. A
linear model of texts needs none of them: `compile_scorer` makes a few dictionaries and lists of
it, so that a text is looked up word by word. `scorer_for` uses that only where it gives what the
pipeline gives, and the pipeline itself otherwise.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import Pipeline

from modeling.compiled import Memo, Vocabulary, Weights
from modeling.decided import Decided
from modeling.features import NgramCounter
from modeling.linear import linear_form, probabilities_of
from modeling.spans import Located, locate
from modeling.table import fields_of
from modeling.text import Normalizer, TextNormalizer
from modeling.text import normalizer as normalizer_of
from modeling.threshold import decide

# Probabilities that differ by no more than this are the same answer.
TOLERANCE = 1e-9

# So many texts are handled together, so that temporary memory does not grow with their number.
_BLOCK = 128
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contribution:
    """How far one feature of an input moves the decision towards a label.

    Attributes
    ----------
    feature : str
        A token, or the two tokens of a bigram with a space between them; of a record, a field.
    contribution : float
        In log-odds, but of a tree or forest in probability; positive is towards the label.
    spans : tuple of (start, end)
        Where it stands in the text as it was sent, in code points, in order; empty for a field.
    """

    feature: str
    contribution: float
    spans: tuple[tuple[int, int], ...]


class Scorer(Protocol):
    """What gives probabilities for raw inputs; several threads may use one at once."""

    classes: tuple[str, ...]
    cheap_calls: bool
    """Whether inputs in many calls take about as long as in one."""

    def probabilities(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        """Return the probability of each class, shape (n_inputs, n_classes)."""
        ...

    def decide(self, probabilities: NDArray[np.float64]) -> list[int]:
        """Return the position in `classes` of the label that the model gives, for each row."""
        ...

    def explain(self, text: Any, label: str, limit: int | None = 20) -> list[Contribution]:
        """Return what moves the decision on this input most, the largest first.

        Parameters
        ----------
        text : str, or mapping of str to value
            The text, or the record of fields, as it was sent.
        label : str
            The class towards which positive contributions move.
        limit : int or None
            How many contributions at most; None means all.

        Raises
        ------
        ValueError
            If there is no such class.
        """
        ...


class _Deciding:
    """Gives the labels that a model gives for its probabilities."""

    def __init__(self, model: Pipeline) -> None:
        self.classes: tuple[str, ...] = tuple(map(str, model.classes_))
        weights = model[-1].weights if isinstance(model[-1], Decided) else None
        self._label_weights = None if weights is None else np.array(weights)

    def decide(self, probabilities: NDArray[np.float64]) -> list[int]:
        """Return the position in `classes` of the label that the model gives, for each row."""
        weights = self._label_weights
        # One call less where the most probable label is given: every request comes by here.
        found = probabilities.argmax(axis=1) if weights is None else decide(probabilities, weights)
        positions: list[int] = found.tolist()
        return positions


class PipelineScorer(_Deciding):
    """Any fitted pipeline of scikit-learn as a scorer; it explains nothing."""

    cheap_calls = False

    def __init__(self, model: Pipeline) -> None:
        super().__init__(model)
        self._model = model

    def probabilities(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        """Return what the pipeline's ``predict_proba`` does; no rows for no inputs."""
        if not len(inputs):
            return np.empty((0, len(self.classes)))
        return np.asarray(self._model.predict_proba(inputs), np.float64)

    def explain(self, text: Any, label: str, limit: int | None = 20) -> list[Contribution]:
        """Return nothing: what moved a decision cannot be told for every kind of model."""
        require_class(label, self.classes)
        return []


def scorer_for(model: Pipeline, check: Sequence[Any]) -> Scorer:
    """Return the quickest scorer that answers as the model does.

    Parameters
    ----------
    model : Pipeline
        A fitted model, raw inputs to probabilities.
    check : sequence of str
        Inputs for which a compiled scorer must give the model's probabilities (to `TOLERANCE`)
        before it is trusted. Without any it is trusted as it is.
    """
    if fields_of(model) is not None:
        # It needs what is defined here.
        from modeling.table_scorer import TableScorer

        return TableScorer(model)
    pipeline = PipelineScorer(model)
    compiled = compile_scorer(model)
    if compiled is None:
        kinds = " > ".join(type(step).__name__ for _, step in model.steps)
        _LOGGER.info("The model is used as the pipeline it is: %s cannot be compiled.", kinds)
        return pipeline
    differences = np.abs(compiled.probabilities(check) - pipeline.probabilities(check))
    largest = float(differences.max(initial=0.0))
    if not largest <= TOLERANCE:
        _LOGGER.warning(
            "The model is used as the pipeline it is: compiled, its probabilities for %d texts "
            "differ by up to %.3g; at most %.3g is allowed.",
            len(check),
            largest,
            TOLERANCE,
        )
        return pipeline
    _LOGGER.info(
        "The model is compiled: its probabilities for %d texts differ by at most %.3g from the "
        "pipeline's.",
        len(check),
        largest,
    )
    return compiled


def compile_scorer(model: Pipeline) -> CompiledScorer | None:
    """Return a fitted linear model of texts as dictionaries and lists.

    Returns
    -------
    CompiledScorer or None
        None if the model is not a `TextNormalizer`, an `NgramCounter`, possibly a
        ``TfidfTransformer``, and a classifier that has a linear form (see `modeling.linear`),
        with or without a decision.
    """
    steps = [step for _, step in model.steps]
    kinds = [type(step) for step in steps[:-1]]
    if kinds == [TextNormalizer, NgramCounter]:
        normalizer, counter, weighting = *steps[:2], None
    elif kinds == [TextNormalizer, NgramCounter, TfidfTransformer]:
        normalizer, counter, weighting = steps[:3]
    else:
        return None
    form = linear_form(steps[-1])
    if form is None:
        return None
    vocabulary = Vocabulary(counter)
    return CompiledScorer(
        model,
        normalizer_of(normalizer.steps),
        vocabulary,
        Weights(vocabulary, counter, weighting, form),
    )


class CompiledScorer(_Deciding):
    """A linear model of texts, compiled; get one from `compile_scorer`.

    Its answers are the pipeline's but for the order of summation, which depends on the number of
    texts in a call: probabilities differ by some 1e-15. Threads may share it: it changes nothing
    but its memo of words, by single operations on dictionaries, and a word that two threads look
    up at once gets the same value from both.
    """

    cheap_calls = True

    def __init__(
        self,
        model: Pipeline,
        normalizer: Normalizer,
        vocabulary: Vocabulary,
        weights: Weights,
    ) -> None:
        super().__init__(model)
        self._normalizer = normalizer
        self._vocabulary = vocabulary
        self._weights = weights
        self._memo = Memo(lambda word: vocabulary.ids(normalizer.tokens_of(word)))

    def probabilities(self, inputs: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability of each class for raw texts.

        Parameters
        ----------
        inputs : sequence of str
            Any texts: empty ones, and ones with NUL or lone surrogates, are as good as others.

        Returns
        -------
        ndarray of float64, shape (n_inputs, n_classes)

        Raises
        ------
        TypeError
            If `inputs` is one text instead of a sequence of them.
        """
        if isinstance(inputs, str):
            raise TypeError("expected a sequence of texts, got one text; put it into a list")
        link = self._weights.link
        rows: list[tuple[float, ...]] = []
        for start in range(0, len(inputs), _BLOCK):
            documents = [self._ids(text) for text in inputs[start : start + _BLOCK]]
            rows += [probabilities_of(each, link) for each in self._weights.outputs(documents)]
        return np.array(rows, np.float64).reshape(len(rows), len(self.classes))

    def explain(self, text: str, label: str, limit: int | None = 20) -> list[Contribution]:
        """Return what moves the decision on this text most; see `Scorer.explain`.

        All contributions and the `baseline` add up to the log-odds of the label, calibrated if the
        model is; the threshold that they are compared with is no part of them: of two classes
        against the other one, of more the score against the mean score of all classes.
        """
        position = require_class(label, self.classes)
        features: dict[int, str] = {}
        places: dict[int, list[tuple[int, int]]] = {}
        counts: Counter[int] = Counter()
        for column, feature, spans in self._occurrences(locate(self._normalizer, text)):
            features[column] = feature
            places.setdefault(column, []).extend(spans)
            counts[column] += 1
        values = self._weights.values(counts)
        found = [
            Contribution(
                feature,
                self._weights.towards(position, column) * values[column],
                tuple(dict.fromkeys(places[column])),
            )
            for column, feature in features.items()
        ]
        found.sort(key=lambda each: (-abs(each.contribution), each.feature))
        return found[:limit]

    def baseline(self, label: str) -> float:
        """Return the log-odds of a label for a text of which no word is known."""
        return self._weights.baseline(require_class(label, self.classes))

    def forget(self) -> None:
        """Forget the words seen so far, to give back memory; answers stay the same."""
        self._memo.forget()

    def _ids(self, text: str) -> list[int]:
        words = self._normalizer.raw_words(text)
        return list(chain.from_iterable(map(self._memo.__getitem__, words)))

    def _occurrences(
        self, tokens: Sequence[Located]
    ) -> Iterator[tuple[int, str, tuple[tuple[int, int], ...]]]:
        """Yield column, name and spans of each feature wherever it occurs."""
        vocabulary = self._vocabulary
        ids = [vocabulary.unigram(each.token) for each in tokens]
        for column, each in zip(ids, tokens, strict=True):
            if vocabulary.is_feature(column):
                yield column, each.token, ((each.start, each.end),)
        pairs = vocabulary.pairs(np.array(ids, np.int64)).tolist()
        for column, (first, second) in zip(pairs, pairwise(tokens), strict=True):
            if vocabulary.is_feature(column):
                spans = ((first.start, first.end), (second.start, second.end))
                yield column, f"{first.token} {second.token}", spans


def require_class(label: str, classes: tuple[str, ...]) -> int:
    """Return the position of a label; raise `ValueError` if there is no such class."""
    if label not in classes:
        raise ValueError(f"There is no class {label!r}; the model has {', '.join(classes)}.")
    return classes.index(label)
