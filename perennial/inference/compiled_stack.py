"""Stacks of counts and vectors, compiled: the counts as any linear model, the vectors beside it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.pipeline import Pipeline

from perennial.classifiers.linear_form import scores_from
from perennial.classifiers.stacked import StackedClassifier
from perennial.classifiers.threshold_classifier import ThresholdClassifier
from perennial.concurrency import Steps
from perennial.embeddings.encoder import Encoder
from perennial.inference.base import (
    Assessment,
    DecidingPredictor,
    occluded,
    require_several,
)
from perennial.inference.compiled_linear import LinearTextPredictor, Memo
from perennial.inference.contribution import Explanation
from perennial.inference.warnings import warnings_of
from perennial.text.normalizer import Normalizer
from perennial.text.tokens import Tokens


class CompiledStackPredictor(DecidingPredictor):
    """A stack of counts and vectors of texts, compiled; get one from `compile_text_predictor`.

    Threads may share it, as they may a `CompiledTextPredictor`.

    Parameters
    ----------
    model : Pipeline
        The model that is compiled.
    stack : StackedClassifier
        Its fitted classifier, without a threshold.
    lexical : LinearTextPredictor
        What answers by counts as `stack` does.
    normalizer : Normalizer
        What makes the tokens that have vectors.
    encoder : Encoder
        What makes the vectors.
    has_low_call_overhead : bool
        See `Predictor`.
    """

    def __init__(
        self,
        model: Pipeline,
        stack: StackedClassifier,
        lexical: LinearTextPredictor,
        normalizer: Normalizer,
        encoder: Encoder,
        *,
        has_low_call_overhead: bool,
    ) -> None:
        super().__init__(model)
        wrapper = model[-1]
        self.has_low_call_overhead = has_low_call_overhead
        self._calibration = (
            wrapper.calibration if isinstance(wrapper, ThresholdClassifier) else None
        )
        self._stack, self._lexical, self._encoder = stack, lexical, encoder
        self._normalizer = normalizer
        self._memo: Memo[tuple[str, ...]] = Memo(lambda word: tuple(normalizer.tokens_of(word)))

    def probabilities(self, inputs: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability of each class for raw texts, shape (n_inputs, n_classes)."""
        return self.assess(inputs).probabilities

    def assess(self, inputs: Sequence[str]) -> Assessment:
        """Return probabilities, and which share of each text's words is counted."""
        require_several(inputs)
        if not len(inputs):
            return Assessment(np.empty((0, len(self.classes))), None, [])
        outputs, known = self._lexical.outputs(inputs)
        scores = scores_from(np.array(outputs, np.float64), self._lexical.link)
        vectors = self._encoder.of_texts(self._tokens(inputs))
        found = self._stack.combined(log_softmax(scores, axis=1), vectors)
        if self._calibration is not None:
            found = self._calibration.apply(np.log(np.maximum(found, np.finfo(np.float64).tiny)))
        return Assessment(found, warnings_of(known), known)

    def explanation_in_steps(
        self, text: str, label: str, limit: int | None = 20
    ) -> Steps[Explanation]:
        """Return what changes without each word; see `perennial.inference.occlusion`."""
        return (yield from occluded(self, text, label, limit))

    def forget(self) -> None:
        """Forget the words seen so far, to give back memory; answers stay the same."""
        self._memo.forget()
        self._lexical.forget()

    def _tokens(self, inputs: Sequence[str]) -> Tokens:
        documents = [
            [*chain.from_iterable(map(self._memo.__getitem__, self._normalizer.raw_words(text)))]
            for text in inputs
        ]
        words = dict.fromkeys(chain.from_iterable(documents))
        places = dict(zip(words, range(len(words)), strict=True))
        lengths = np.fromiter(map(len, documents), np.int64, len(documents))
        ids = map(places.__getitem__, chain.from_iterable(documents))
        return Tokens(
            np.fromiter(ids, np.int32, int(lengths.sum())),
            np.concatenate([[0], np.cumsum(lengths)]),
            tuple(words),
        )
