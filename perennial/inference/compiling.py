"""From a fitted pipeline of texts to the compiled predictor that answers as it does."""

from __future__ import annotations

from typing import Any

from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import Pipeline

from perennial.classifiers.linear_form import linear_form
from perennial.classifiers.stacked import StackedClassifier
from perennial.classifiers.threshold_classifier import unwrapped
from perennial.embeddings.counter import EmbeddedCounter
from perennial.embeddings.encoder import is_of_sentences
from perennial.inference.compiled_characters import CharacterVocabulary, CompiledCharacterPredictor
from perennial.inference.compiled_linear import (
    LinearTextPredictor,
    Vocabulary,
    Weights,
    WordWeights,
)
from perennial.inference.compiled_stack import CompiledStackPredictor
from perennial.inference.compiled_text import CompiledTextPredictor
from perennial.text.characters import CharacterCounter
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import TextNormalizer
from perennial.text.normalizer import normalizer as normalizer_of
from perennial.text.words_and_characters import WordAndCharacterCounter


def compile_text_predictor(model: Pipeline) -> LinearTextPredictor | CompiledStackPredictor | None:
    """Return a fitted linear model of texts as dictionaries and lists, or a stack of one.

    Returns
    -------
    CompiledTextPredictor, CompiledCharacterPredictor, CompiledStackPredictor or None
        None if the model is not a `TextNormalizer`, a counter of words or character n-grams,
        possibly a ``TfidfTransformer``, and a classifier that has a linear form (see
        `perennial.classifiers.linear_form`), with or without a threshold; or a stack of such a
        model and of vectors.

    Raises
    ------
    OutsideError
        If a stack's weights are not installed, or are others than it was fitted with.
    """
    stack = unwrapped(model[-1])
    return _compiled_stack(model, stack) if isinstance(stack, StackedClassifier) else _linear(model)


def _compiled_stack(model: Pipeline, stack: StackedClassifier) -> CompiledStackPredictor | None:
    steps = [step for _, step in model.steps]
    if [type(step) for step in steps[:-1]] != [TextNormalizer, EmbeddedCounter]:
        return None
    normalizer, counter = steps[:2]
    lexical = _linear(
        Pipeline(
            [("normalize", normalizer), ("count", counter.counter), *_steps_of(stack.lexical_)]
        )
    )
    if lexical is None:
        return None
    return CompiledStackPredictor(
        model,
        stack,
        lexical,
        normalizer_of(normalizer.preparation),
        counter.encoder(),
        has_low_call_overhead=not is_of_sentences(counter.embedding),
    )


def _steps_of(classifier: Any) -> list[tuple[str, Any]]:
    return classifier.steps if isinstance(classifier, Pipeline) else [("classify", classifier)]


def _linear(model: Pipeline) -> LinearTextPredictor | None:
    steps = [step for _, step in model.steps]
    kinds = [type(step) for step in steps[:-1]]
    if kinds[:1] != [TextNormalizer] or kinds[2:] not in ([], [TfidfTransformer]):
        return None
    form = linear_form(steps[-1])
    if form is None:
        return None
    counter, weighting = steps[1], (*steps[2:-1], None)[0]
    normalizer, binary = normalizer_of(steps[0].preparation), counter.binary
    if isinstance(counter, NgramCounter):
        words = Vocabulary(counter)
        return CompiledTextPredictor(
            model, normalizer, words, WordWeights(words, weighting, form, binary=binary)
        )
    if isinstance(counter, CharacterCounter | WordAndCharacterCounter):
        characters = CharacterVocabulary(counter)
        return CompiledCharacterPredictor(
            model, normalizer, characters, Weights(characters, weighting, form, binary=binary)
        )
    return None
