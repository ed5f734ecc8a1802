"""Reproduce: make a version again from what was recorded, and compare.

perennial reproduce sentiment 3
"""

from __future__ import annotations

from prefect import flow

from perennial.registry.client import ModelVersion, Registry
from perennial.registry.tags import RunTags
from tasks.data.prepare import prepare
from tasks.orchestration.connect import connect
from tasks.orchestration.retries import quiet_prefect_logs
from tasks.training.evaluate import evaluate
from tasks.training.recipe import Recipe, read_recipe
from tasks.training.reproduce import Agreement, Ingredients, agreement, conclude, gather
from tasks.training.train import choose, train
from tasks.training.tune_threshold import decide


@flow(name="reproduce", flow_run_name="reproduce {problem} {version}")
def reproduce(problem: str, version: int) -> str:
    """Fit a version again, and say whether it predicts the same, or else what differs.

    Its snapshot, problem, candidate and seed are those that were recorded when it was made; the
    code and the libraries are those that are here.

    Parameters
    ----------
    problem : str
        Name of the problem.
    version : int
        The version to make again.
    """
    quiet_prefect_logs()
    registry = connect()
    original = registry.version(problem, version)
    recipe = read_recipe(registry, original)
    ingredients = gather(original, recipe)
    return conclude(original, ingredients, _make(registry, original, recipe, ingredients))


def _make(
    registry: Registry, original: ModelVersion, recipe: Recipe, ingredients: Ingredients
) -> Agreement | None:
    """Fit the candidate again on all training documents; None where something is missing."""
    spec, snapshot = ingredients.problem, ingredients.snapshot
    if spec is None or snapshot is None:
        return None
    number = original.version
    tags = RunTags(kind="reproduce", reproduced_version=number).as_tags()
    with registry.run(spec.name, f"reproduce version {number}", tags=tags) as run_id:
        dataset = prepare(spec, snapshot)
        spec = dataset.problem
        fitted = train(spec, recipe.surroundings.candidate, dataset, run_id)
        again = choose(spec, dataset, [fitted])
        if spec.goal is not None:
            again = decide(spec, dataset, again)
        found = agreement(recipe, evaluate(spec, dataset, again).predictions)
        registry.log(run_id, metrics={"error": found.error, "labels": found.labels})
    return found


if __name__ == "__main__":
    from tasks.orchestration.cli import main

    main(reproduce)
