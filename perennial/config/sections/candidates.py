"""Candidates: the model specifications of a problem's file."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer
from pydantic_core import PydanticCustomError

from perennial.config.sections.experiment import Parameters
from perennial.estimators import EstimatorName
from perennial.packages.extras import (
    MODEL_FILE,
    TOKENIZER_FILE,
    Extra,
    missing_for,
    missing_for_folder,
)
from perennial.schema import Name, Schema
from perennial.settings import get_settings


class RecordTexts(Schema):
    """How the texts of records become numbers."""

    analyzer: Literal["auto", "words", "characters", "both"] = Field(
        default="auto",
        description="words and pairs of neighbours, n-grams of two to five characters, or both; "
        "auto: characters for names and where no spaces are between words, else words",
    )
    min_documents: int = Field(
        default=2, ge=1, description="the least number of documents that a word occurs in"
    )
    max_features: int = Field(default=100_000, ge=1, description="of each sort at most")


class TabularFeatures(Schema):
    """How fields become numbers: categories by one column each, booleans by 0 and 1."""

    scale: Literal["standard", "none"] = Field(
        default="none", description="standard: mean 0 and deviation 1 over the training documents"
    )
    categories: Literal["one_hot", "target"] = Field(
        default="one_hot",
        description="target: the shares of labels among the documents of a category, cross-fitted, "
        "instead of a column for each",
    )
    min_documents: int = Field(
        default=1,
        ge=1,
        description="categories and words of fewer documents become one: min_frequency of "
        "scikit-learn",
    )
    max_categories: int | None = Field(
        default=10_000,
        ge=1,
        description="so many categories of a field are told apart, the most frequent ones",
    )
    texts: RecordTexts = RecordTexts()

    @model_serializer(mode="wrap")
    def _without_defaults(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A key that came later starts no retraining where it is not used.
        keys: dict[str, Any] = written(self)
        fields = type(self).model_fields
        unused = {
            key
            for key in keys
            if key != "scale" and getattr(self, key) == fields[key].get_default()
        }
        return {key: value for key, value in keys.items() if key not in unused}


Analyzer = Literal["words", "characters", "both", "auto"]
# Longer groups of characters are mostly whole words.
_LONGEST = 10
Length = Annotated[int, Field(ge=1, le=_LONGEST)]
# What else the key may say is a folder.
_PACKAGED: dict[str, Extra] = {"static": "embeddings", "sentence": "sentences"}
_ADDED_LATER = ("analyzer", "character_lengths", "embedding")


class Features(Schema):
    """How tokens become numbers."""

    analyzer: Analyzer = Field(
        default="words",
        description="what is counted: words, groups of neighbouring characters within a word, or "
        "both; auto chooses by the training documents",
    )
    character_lengths: tuple[Length, Length] = Field(
        default=(1, 4),
        description="of the groups of characters, the edge of a word included: ngram_range of "
        'scikit-learn with analyzer="char_wb"',
    )
    weighting: Literal["counts", "tfidf"] = "counts"
    bigrams: bool = Field(
        default=False,
        description="pairs of neighbouring tokens besides tokens: ngram_range=(1, 2) of "
        "scikit-learn",
    )
    min_documents: int = Field(
        default=2,
        ge=1,
        description="the least number of documents that a feature occurs in: min_df of "
        "scikit-learn",
    )
    max_features: int | None = Field(default=None, ge=1)
    binary: bool = False
    sublinear: bool = Field(
        default=False,
        description="1 + log(count) instead of the count: sublinear_tf of scikit-learn",
    )
    embedding: str = Field(
        default="none",
        min_length=1,
        description="static: beside what is counted the mean vector of the words; sentence: a "
        "vector of the whole text; both from weights that know English best; or a folder of the "
        "project with the model.onnx and tokenizer.json of another model of sentences. The "
        "estimator and a linear model of the vectors are stacked",
    )

    @field_validator("embedding")
    @classmethod
    def _can_be_used(cls, embedding: str) -> str:
        if embedding in _PACKAGED:
            _require_extra(_PACKAGED[embedding])
        elif embedding != "none":
            _require_folder(embedding)
        return embedding

    @field_validator("character_lengths")
    @classmethod
    def _is_a_range(cls, lengths: tuple[int, int]) -> tuple[int, int]:
        if lengths[0] > lengths[1]:
            raise PydanticCustomError(
                "character_lengths", "input should be the shortest and the longest length"
            )
        return lengths

    @model_serializer(mode="wrap")
    def _leave_out_later_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write keys that came later only where they ask for something.

        The digest of a problem must not change because the code knows one key more.
        """
        written: dict[str, Any] = serialize(self)
        fields = type(self).model_fields
        absent = {key for key in _ADDED_LATER if getattr(self, key) == fields[key].get_default()}
        return {key: value for key, value in written.items() if key not in absent}

    @property
    def counts_characters(self) -> bool:
        """Whether groups of characters are counted."""
        return self.analyzer in {"characters", "both"}


def _require_extra(extra: Extra) -> None:
    if lacking := missing_for(extra):
        raise PydanticCustomError(
            "extra",
            "input needs {packages}, which the extra {extra} installs: pip install "
            "'perennial[{extra}]'; or write none",
            {"packages": " and ".join(lacking), "extra": extra},
        )


def _require_folder(embedding: str) -> None:
    folder = get_settings().project_dir / embedding
    lacking = [name for name in (MODEL_FILE, TOKENIZER_FILE) if not (folder / name).is_file()]
    if lacking:
        raise PydanticCustomError(
            "folder",
            "input should be none, static, sentence, or a folder with a model of sentences, and "
            "{folder} has no {files}",
            {"folder": str(folder), "files": " and no ".join(lacking)},
        )
    if packages := missing_for_folder():
        raise PydanticCustomError(
            "extra",
            "input needs {packages}, which the extra sentences installs: pip install "
            "'perennial[sentences]'; or write none",
            {"packages": " and ".join(packages)},
        )


class Candidate(Schema):
    """A model specification that a retraining fits: preparation x features x estimator."""

    preparation: Name
    features: Features
    estimator: EstimatorName
    parameters: Parameters = Field(default={})

    def with_analyzer(self, analyzer: Analyzer) -> Candidate:
        """Return the candidate with something else that is counted."""
        features = self.features.model_copy(update={"analyzer": analyzer})
        return self.model_copy(update={"features": features})

    @property
    def shared(self) -> tuple[Hashable, ...]:
        """What candidates must agree on to share features; the first part, to share tokens."""
        f = self.features
        # The weighting is cheap and learned per fit; everything else can be shared.
        lengths = f.character_lengths if f.counts_characters else None
        bigrams = f.bigrams and f.analyzer != "characters"
        return (
            self.preparation,
            (f.analyzer, bigrams, lengths, f.min_documents, f.max_features, f.binary),
            f.embedding,
        )


class TabularCandidate(Schema):
    """A candidate of a problem with `inputs`: features x estimator."""

    features: TabularFeatures = TabularFeatures()
    estimator: EstimatorName
    parameters: Parameters = Field(default={})

    @property
    def shared(self) -> tuple[Hashable, ...]:
        """See `Candidate.shared`: scaling is cheap and learned per fit; records are read once."""
        f = self.features
        texts = (f.texts.analyzer, f.texts.min_documents, f.texts.max_features)
        return "records", f.categories, f.min_documents, f.max_categories, *texts
