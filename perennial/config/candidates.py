"""Candidates: the model specifications of a problem's file."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal

from pydantic import Field

from perennial.config.experiment import Parameters
from perennial.estimators import EstimatorName
from perennial.schema import Name, Schema


class TabularFeatures(Schema):
    """How fields become numbers: categories by one column each, booleans by 0 and 1."""

    scale: Literal["standard", "none"] = Field(
        default="none", description="standard: mean 0 and deviation 1 over the training documents"
    )


class Features(Schema):
    """How tokens become numbers."""

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


class Candidate(Schema):
    """A model specification that a retraining fits: preparation x features x estimator."""

    preparation: Name
    features: Features
    estimator: EstimatorName
    parameters: Parameters = Field(default={})

    @property
    def shared(self) -> tuple[Hashable, ...]:
        """What candidates must agree on to share features; the first part, to share tokens."""
        f = self.features
        # The weighting is cheap and learned per fit; everything else can be shared.
        return self.preparation, f.bigrams, f.min_documents, f.max_features, f.binary


class TabularCandidate(Schema):
    """A candidate of a problem with `inputs`: features x estimator."""

    features: TabularFeatures = TabularFeatures()
    estimator: EstimatorName
    parameters: Parameters = Field(default={})

    @property
    def shared(self) -> tuple[Hashable, ...]:
        """See `Candidate.shared`: scaling is cheap and learned per fit, all else is the same."""
        return ()
