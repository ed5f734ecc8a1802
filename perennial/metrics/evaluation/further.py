"""Further documents: what has not been seen, and what an interval has to allow for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from perennial.metrics.evaluation.predictions import Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from perennial.metrics.evaluation.predictions import Floats

# The further documents count for one, divided among the classes.
_IN_ALL = 1.0


@dataclass(frozen=True, eq=False)
class Ends:
    """Documents with further ones, as each end of an interval sees them.

    Attributes
    ----------
    low, high : tuple of Predictions
        Those of each model, for the lower end and for the upper one.
    sizes : ndarray, shape (n_documents,)
        How many documents each of them stands for.
    """

    low: tuple[Predictions, ...]
    high: tuple[Predictions, ...]
    sizes: Floats


def further_documents(models: Sequence[Predictions], *, labels: bool) -> Ends:
    """Return the documents with a further one of each class.

    At the lower end the first of two models is as wrong about it as it is about any, and the second
    one as right; at the upper end it is the other way round.

    Parameters
    ----------
    models : sequence of Predictions
        One model, or the two that are compared, about the same documents.
    labels : bool
        Whether only labels matter. Documents are alike then whose labels are, predicted and true.
    """
    import numpy as np

    known = models[0]
    rights = [_further(model, right=True) for model in models]
    wrongs = [_further(model, right=False) for model in models]
    sizes = np.ones(len(known))
    if labels:
        models, sizes = _kinds(models)
    low = [_append(m, each) for m, each in zip(models, [wrongs[0], *rights[1:]], strict=True)]
    high = [_append(m, each) for m, each in zip(models, [rights[0], *wrongs[1:]], strict=True)]
    classes = len(known.classes)
    return Ends(tuple(low), tuple(high), np.append(sizes, np.full(classes, _IN_ALL / classes)))


def _further(model: Predictions, *, right: bool) -> Predictions:
    """Return one document of each class, about which a model is as right or wrong as it gets."""
    import numpy as np

    classes = np.arange(len(model.classes))
    by_class = model.probabilities
    rows = by_class.argmax(axis=0) if right else by_class.argmin(axis=0)
    predicted = classes if right else _wrong_labels(model)
    return replace(model, truth=classes, predicted=predicted, probabilities=by_class[rows])


def _wrong_labels(model: Predictions) -> NDArray[np.int64]:
    """Return the wrong label of each class that costs most, or that the model gives most often."""
    import numpy as np

    n_classes = len(model.classes)
    pairs = model.truth * n_classes + model.predicted
    given = np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)
    # Where a class is never mistaken, what the others are mistaken for.
    scores = given + given.sum(axis=0) / (len(model) + 1)
    if model.costs is not None:
        scores = model.costs
    scores = np.where(np.eye(n_classes, dtype=bool), -np.inf, scores)
    found: NDArray[np.int64] = scores.argmax(axis=1)
    return found


def _append(model: Predictions, further: Predictions) -> Predictions:
    import numpy as np

    return replace(
        model,
        truth=np.append(model.truth, further.truth),
        predicted=np.append(model.predicted, further.predicted),
        probabilities=np.concatenate([model.probabilities, further.probabilities]),
    )


def _kinds(models: Sequence[Predictions]) -> tuple[list[Predictions], Floats]:
    """Return one document of each kind as all models see it, and how many there are of each."""
    import numpy as np

    known = models[0]
    labels = (known.truth, *(model.predicted for model in models))
    shape = (len(known.classes),) * len(labels)
    _, first, sizes = np.unique(
        np.ravel_multi_index(labels, shape), return_index=True, return_counts=True
    )
    # In the order of the documents, which is the same whichever model comes first.
    order = np.argsort(first)
    rows = np.zeros(len(known), np.bool_)
    rows[first] = True
    return [model.take(rows) for model in models], sizes[order].astype(np.float64)
