"""The least that a service can do: a Starlette application around the same predictor.

uvicorn --factory benchmarks.service.bare:create --workers 2

The name of the problem is in BARE_PROBLEM.
"""

from __future__ import annotations

import gc
import os

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perennial.inference.predictor import build_predictor
from perennial.registry.client import open_registry
from perennial.settings import get_settings

PROBLEM_VARIABLE = "BARE_PROBLEM"


def create() -> Starlette:
    """Return an application without limits, metrics, log or checks for a Production model."""
    registry = open_registry(get_settings())
    production = registry.require_production(os.environ[PROBLEM_VARIABLE])
    predictor = build_predictor(registry.load(production), ["a film"])
    classes = predictor.classes
    gc.collect()
    gc.freeze()

    async def classify(request: Request) -> Response:
        inputs = orjson.loads(await request.body())["inputs"]
        scores = predictor.probabilities(inputs)
        predictions = [
            {"label": classes[best], "probabilities": dict(zip(classes, row, strict=True))}
            for best, row in zip(predictor.decide(scores), scores.tolist(), strict=True)
        ]
        return Response(orjson.dumps({"predictions": predictions}), media_type="application/json")

    return Starlette(routes=[Route("/classify", classify, methods=["POST"])])
