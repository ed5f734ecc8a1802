"""Agreement: whether equal inputs have equal labels, and what follows where they do not."""

from __future__ import annotations

import pyarrow as pa


def best_accuracy(content: pa.ChunkedArray, labels: pa.ChunkedArray) -> float:
    """Return the accuracy that no model can exceed: equal inputs get one answer, whatever it is.

    Parameters
    ----------
    content : ChunkedArray, shape (n_documents,)
        Hashes of the inputs.
    labels : ChunkedArray, shape (n_documents,)
        Their labels.

    Returns
    -------
    float
        The share of documents that have the most frequent label of their input; 1 of no documents.
    """
    if not len(content):
        return 1.0
    each = pa.table({"content": content, "label": labels})
    counts = each.group_by(["content", "label"]).aggregate([([], "count_all")])
    most = counts.group_by("content").aggregate([("count_all", "max")])
    return float(sum(most["count_all_max"].to_pylist()) / len(content))
