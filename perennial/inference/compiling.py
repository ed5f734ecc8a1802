"""From a fitted pipeline of texts to the compiled predictor that answers as it does."""

from __future__ import annotations

from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import Pipeline

from perennial.classifiers.linear_form import linear_form
from perennial.inference.compiled_characters import CharacterVocabulary, CompiledCharacterPredictor
from perennial.inference.compiled_linear import Vocabulary, Weights, WordWeights
from perennial.inference.compiled_text import CompiledTextPredictor
from perennial.text.characters import CharacterCounter
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import TextNormalizer
from perennial.text.normalizer import normalizer as normalizer_of
from perennial.text.words_and_characters import WordAndCharacterCounter


def compile_text_predictor(
    model: Pipeline,
) -> CompiledTextPredictor | CompiledCharacterPredictor | None:
    """Return a fitted linear model of texts as dictionaries and lists.

    Returns
    -------
    CompiledTextPredictor, CompiledCharacterPredictor or None
        None if the model is not a `TextNormalizer`, a counter of words or character n-grams,
        possibly a ``TfidfTransformer``, and a classifier that has a linear form (see
        `perennial.classifiers.linear_form`), with or without a threshold.
    """
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
