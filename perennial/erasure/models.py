"""The inputs that are stored with models, without those of erased documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from perennial.config.problem import Problem
from perennial.documents.documents import in_holdout
from perennial.errors import OutsideError
from perennial.inputs.base import inputs_of
from perennial.registry.artifact import GOLDEN_NAME, Golden, read_golden
from perennial.registry.client import ModelVersion, Registry
from perennial.stores.snapshots.store import SnapshotStore

IsErased = Callable[[Any], bool]


def replace_examples(
    problem: Problem, registry: Registry, store: SnapshotStore, is_erased: IsErased
) -> int:
    """Replace golden examples that are inputs of erased documents; return of how many models.

    Others of the holdout of the version's snapshot come in their place; where there are none, as
    for a model that was never registered, the examples are fewer.

    Parameters
    ----------
    problem : Problem
        The problem.
    registry : Registry
        Where the models are.
    store : SnapshotStore
        The problem's snapshots.
    is_erased : callable
        Whether an input is one of an erased document.

    Raises
    ------
    OutsideError
        If MLflow fails, or if a model would be left without any golden example.
    """
    versions = {each.model_id: each for each in registry.versions(problem.name)}
    replaced = 0
    for model_id in registry.stored_models(problem.name):
        golden = registry.golden(model_id)
        if golden is None or not any(map(is_erased, golden.inputs)):
            continue
        left = without(golden, is_erased)
        version = versions.get(model_id)
        wanted = len(golden.inputs) - (0 if left is None else len(left.inputs))
        if version is not None:
            left = _completed(problem, registry, store, version, left, wanted, is_erased)
        if left is None:
            raise OutsideError(
                f"The stored model {model_id} of {problem.name!r} (MLFLOW_TRACKING_URI) has golden "
                "examples of erased documents alone, and no other documents to replace them; "
                "delete the model in MLflow, and repeat."
            )
        registry.replace_golden(model_id, left)
        replaced += 1
    return replaced


def without(golden: Golden, is_erased: IsErased) -> Golden | None:
    """Return golden examples without the inputs of erased documents; None if none is left."""
    kept = [place for place, value in enumerate(golden.inputs) if not is_erased(value)]
    if not kept:
        return None
    return Golden(
        inputs=tuple(golden.inputs[place] for place in kept),
        classes=golden.classes,
        probabilities=tuple(golden.probabilities[place] for place in kept),
    )


def _completed(
    problem: Problem,
    registry: Registry,
    store: SnapshotStore,
    version: ModelVersion,
    golden: Golden | None,
    wanted: int,
    is_erased: IsErased,
) -> Golden | None:
    """Return golden examples with further ones, if model and snapshot can still be read."""
    with suppress(OutsideError):
        model = registry.load(version)
        snapshot = store.recorded(*version.require_snapshot())
        held = set() if golden is None else {str(value) for value in golden.inputs}
        # In the order of their content, which is a hash: the first ones are a random sample.
        others = (
            value
            for value in _holdout(problem, store, snapshot, version)
            if not is_erased(value) and str(value) not in held
        )
        inputs = [value for _, value in zip(range(wanted), others, strict=False)]
        if inputs:
            before = golden or Golden.model_construct(inputs=(), classes=(), probabilities=())
            return Golden(
                inputs=(*before.inputs, *inputs),
                classes=tuple(str(label) for label in model.classes_),
                probabilities=(*before.probabilities, *model.predict_proba(inputs).tolist()),
            )
    return golden


def _holdout(
    problem: Problem, store: SnapshotStore, snapshot: Any, version: ModelVersion
) -> Iterator[Any]:
    rows = store.read(snapshot)
    share = version.holdout or problem.holdout
    part = rows.filter(pa.array(in_holdout(rows["content"].combine_chunks(), share)))
    for batch in part.select([inputs_of(problem).column.name]).to_batches(max_chunksize=100):
        yield from batch.column(0).to_pylist()


def clean_cache(folder: Path, is_erased: IsErased) -> int:
    """Take erased inputs out of the golden examples that a service on this machine has on disk.

    Parameters
    ----------
    folder : Path
        Where the service keeps the models of the problem.
    is_erased : callable
        Whether an input is one of an erased document.

    Returns
    -------
    int
        From how many files something was taken.
    """
    cleaned = 0
    for file in sorted(folder.rglob(GOLDEN_NAME)):
        golden = read_golden(file, str(file))
        if not any(map(is_erased, golden.inputs)):
            continue
        left = without(golden, is_erased)
        if left is None:
            # Without examples it is no model; the service fetches it anew.
            file.unlink()
        else:
            scratch = file.with_suffix(".new")
            scratch.write_text(left.model_dump_json())
            scratch.replace(file)
        cleaned += 1
    return cleaned
