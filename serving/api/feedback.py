"""``POST /feedback``: the right label of a prediction, from whoever may say it."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from time import time

from starlette.requests import Request
from starlette.responses import Response

from perennial.settings import ServingSettings
from perennial.stores.prediction_ids import Issued
from perennial.stores.prediction_log import Feedback
from serving.api.auth import ApiKeys
from serving.api.errors import ApiError
from serving.api.middleware import REQUEST_ID
from serving.api.schemas import FeedbackAnswer, FeedbackRequest
from serving.api.wire.answers import json_answer
from serving.api.wire.body import read_body
from serving.api.wire.parsing import decode, parse, require_json
from serving.models.store import ModelStore
from serving.telemetry.log import PredictionLog

_BYTES = 10_000
_DAY_SECONDS = 24 * 60 * 60
# As long as a request may be worked on at all, so that MongoDB can be elected anew meanwhile.
_STORE_SECONDS = 4.0
_RETRY = {"Retry-After": "5"}


class FeedbackEndpoint:
    """Takes feedback, and says what became of it.

    Parameters
    ----------
    store : ModelStore
        Models in memory.
    log : PredictionLog
        Keeps what is taken.
    settings : ServingSettings
        Limits of requests, and how long predictions are remembered.
    keys : ApiKeys
        Who may give feedback.
    """

    def __init__(
        self, store: ModelStore, log: PredictionLog, settings: ServingSettings, keys: ApiKeys
    ) -> None:
        self._store, self._log = store, log
        self._settings, self._keys = settings, keys

    async def answer(self, request: Request) -> Response:
        """Answer one request: 202 only if the feedback is stored."""
        request_id = request.scope[REQUEST_ID]
        feedback = await self._read(request, request_id)
        await self._keep(feedback)
        answer = FeedbackAnswer(
            prediction_id=feedback.prediction_id, accepted=True, request_id=request_id
        )
        body = answer.model_dump_json().encode()
        return json_answer(HTTPStatus.ACCEPTED, body)

    async def _read(self, request: Request, request_id: str) -> Feedback:
        """Return what a request says, after checking that it may and can."""
        headers = dict(request.scope["headers"])
        key = self._keys.require(headers, "feedback") if self._keys else None
        require_json(headers)
        seconds = self._settings.body_seconds
        body = await read_body(headers, request.receive, most=_BYTES, seconds=seconds)
        said = parse(FeedbackRequest, decode(headers, body, _BYTES))
        issued = self._find(said.prediction_id)
        self._keys.require_problem(headers, "feedback", issued.problem, "prediction_id")
        served = self._store.served.get(issued.problem)
        if served is None:
            message = "The model of this prediction is not served."
            raise ApiError(404, "unknown_model", message, field="prediction_id")
        classes = served.production.predictor.classes
        if said.label not in classes:
            message = f"label must be one of {', '.join(classes)}."
            raise ApiError(422, "wrong_value", message, field="label")
        return Feedback(
            at=time(),
            prediction_id=said.prediction_id,
            problem=issued.problem,
            version=issued.version,
            label=said.label,
            request_id=request_id,
            key=key,
            predicted_at=issued.at,
        )

    def _find(self, prediction_id: str) -> Issued:
        """Return what a prediction's id says, if the prediction went to the log.

        Raises
        ------
        ApiError
            404 if it was never issued, 410 if the log never had it or has forgotten it, 503 as
            long as this worker does not know the key by which other workers sign.
        """
        issued = self._log.signing.read(prediction_id)
        if issued is None:
            if not self._log.signing.is_shared:
                self._log.signing.want()
                raise _not_kept()
            message = "prediction_id was not issued by POST /classify of this service."
            raise ApiError(404, "unknown_prediction", message, field="prediction_id")
        if not issued.is_logged:
            message = (
                "This prediction was left out of the log, so feedback on it cannot be kept; "
                "SERVING_LOG_SHARE and SERVING_LOG_PER_SECOND say how many are kept."
            )
            raise ApiError(410, "prediction_not_logged", message, field="prediction_id")
        if time() - issued.at > self._settings.log_days * _DAY_SECONDS:
            raise _forgotten()
        return issued

    async def _keep(self, feedback: Feedback) -> None:
        receipt = self._log.add_feedback(feedback)
        if receipt is None:
            raise _not_kept()
        try:
            outcome = await asyncio.wait_for(asyncio.wrap_future(receipt), _STORE_SECONDS)
        except TimeoutError:
            raise _not_kept() from None
        if outcome == "forgotten":
            raise _forgotten()
        if outcome == "lost":
            raise _not_kept()


def _forgotten() -> ApiError:
    message = (
        "This prediction is not in the log, or not any more, so feedback on it cannot be kept; "
        "SERVING_LOG_DAYS says how long predictions are kept."
    )
    return ApiError(410, "prediction_forgotten", message, field="prediction_id")


def _not_kept() -> ApiError:
    message = "The feedback could not be stored now; send it again in a few seconds."
    return ApiError(503, "feedback_not_kept", message, headers=_RETRY)
