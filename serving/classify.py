"""``POST /classify``, from the body's bytes to the answer's bytes."""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from time import monotonic, perf_counter, time
from typing import TYPE_CHECKING, cast

import orjson
from starlette.types import Receive, Scope, Send

from serving import auth, routing
from serving.errors import ApiError
from serving.limits import read_body, send_json
from serving.log import Failure, Logged, PredictionLog
from serving.metrics import Metrics
from serving.models import Loaded, Served
from serving.parsing import parse, require_json
from serving.schemas import ClassifyRequest, FieldValue, Input, classify_request
from serving.store import ModelStore
from settings import ServingSettings
from versions import ModelVersion

if TYPE_CHECKING:
    from modeling.scorer import Contribution

_ID_BYTES = 16
_ID_DIGITS = 2 * _ID_BYTES
_IDS_AT_ONCE = 256
# An explanation looks at a text again, and more closely.
_EXPLAIN_WEIGHT = 4
_MOST_SHADOWS = 4
_SHOWN = 60


class Classify:
    """Answers requests for predictions, as an ASGI application.

    Parameters
    ----------
    store : ModelStore
        The models that answer.
    log : PredictionLog
        Told what was answered.
    metrics : Metrics
        Counts what was answered.
    settings : ServingSettings
        The limits.
    """

    def __init__(
        self, store: ModelStore, log: PredictionLog, metrics: Metrics, settings: ServingSettings
    ) -> None:
        self._store, self._log, self._metrics = store, log, metrics
        self._settings = settings
        self._request = classify_request(settings)
        self._pool = ThreadPoolExecutor(1, "classify")
        self._shadow_pool = ThreadPoolExecutor(1, "shadow")
        self._shadows = 0
        self._digits = _random_digits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        settings = self._settings
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if settings.api_key_hashes:
            auth.require(headers, settings.api_key_hashes)
        require_json(headers)
        body = await read_body(
            headers, receive, most=settings.max_body_bytes, seconds=settings.body_seconds
        )
        request = parse(self._request, body)
        served = self._served(request.model)
        key = headers.get(b"x-request-key")
        loaded = routing.choose(served, key)
        inputs = request.inputs
        characters = _measure(inputs, loaded)
        start = perf_counter()
        try:
            answer = await self._answer(loaded, request, characters)
        except Exception:
            self._log_failure(loaded)
            raise
        seconds = perf_counter() - start
        self._count(loaded, characters, answer)
        prefix = f"{served.problem}.{loaded.version.version}."
        ids = [prefix + digits for digits in islice(self._digits, len(inputs))]
        if self._is_logged():
            self._log.add(answer.logged(ids, inputs, seconds))
        shadow = routing.shadow(served, key)
        if shadow is not None:
            self._show(shadow, inputs, answer.labels)
        await send_json(send, answer.body(ids))

    def end(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._shadow_pool.shutdown(wait=False, cancel_futures=True)

    def _served(self, name: str | None) -> Served:
        """Return what answers for a problem, or for the only one."""
        served = self._store.served
        if not served:
            raise ApiError(
                503,
                "no_model",
                "No model is in Production yet; the service looks for one every few seconds.",
                headers={"Retry-After": str(max(1, round(self._settings.poll_seconds)))},
            )
        if name is None and len(served) == 1:
            return next(iter(served.values()))
        known = ", ".join(sorted(served))
        if name is None:
            raise ApiError(422, "missing", f"Say which model: {known}.", field="model")
        if name not in served:
            raise ApiError(
                404, "unknown_model", f"There is no such model; there are: {known}.", field="model"
            )
        return served[name]

    async def _answer(
        self, loaded: Loaded, request: ClassifyRequest, characters: Sequence[int]
    ) -> Answer:
        """Answer a small request at once, and a large one without keeping others waiting."""
        work = sum(characters) * (_EXPLAIN_WEIGHT if request.explain else 1)
        if work <= self._settings.inline_characters:
            return _answer(loaded, request.inputs, explain=request.explain)
        return await self._answer_beside(loaded, request, characters)

    async def _answer_beside(
        self, loaded: Loaded, request: ClassifyRequest, characters: Sequence[int]
    ) -> Answer:
        """Answer a large request in a thread, in portions, so that small ones pass in between."""
        loop = asyncio.get_running_loop()
        deadline = monotonic() + self._settings.answer_seconds
        portions = []
        for inputs in _portions(request.inputs, characters, self._settings.inline_characters):
            if monotonic() > deadline:
                raise ApiError(
                    429,
                    "too_much_work",
                    f"The inputs could not be classified within {self._settings.answer_seconds:g} s"
                    "; send fewer at once, or try again later.",
                    headers={"Retry-After": "1"},
                )
            portion = await loop.run_in_executor(
                self._pool, partial(_answer, loaded, inputs, explain=request.explain)
            )
            portions.append(portion)
        return _join(portions)

    def _is_logged(self) -> bool:
        share = self._settings.log_share
        return share == 1 or random.random() < share  # noqa: S311

    def _log_failure(self, loaded: Loaded) -> None:
        """Log that a version did not answer, as often as answers are logged."""
        if self._is_logged():
            version = loaded.version
            self._log.add_failure(Failure(time(), version.problem, version.version))

    def _count(self, loaded: Loaded, characters: Sequence[int], answer: Answer) -> None:
        problem, number = loaded.version.problem, loaded.version.version
        self._metrics.lengths(problem, characters)
        labels = answer.labels
        if len(labels) == 1:
            self._metrics.predicted(problem, number, labels[0], 1)
            return
        for label, count in Counter(labels).items():
            self._metrics.predicted(problem, number, label, count)

    def _show(self, shadow: Loaded, inputs: Sequence[Input], answered: Sequence[str]) -> None:
        """Let the shadow predict beside the answer; skip what is too much for it."""
        if self._shadows >= _MOST_SHADOWS:
            return
        self._shadows += 1
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._shadow_pool, _answer, shadow, inputs)
        done.add_done_callback(partial(self._compare, shadow, answered))

    def _compare(
        self, shadow: Loaded, answered: Sequence[str], done: asyncio.Future[Answer]
    ) -> None:
        self._shadows -= 1
        version = shadow.version
        if done.cancelled() or done.exception() is not None:
            self._metrics.shadow_failed(version.problem, version.version)
            return
        pairs = zip(answered, done.result().labels, strict=True)
        agreeing = sum(one == other for one, other in pairs)
        self._metrics.shadowed(
            version.problem,
            version.version,
            agreeing=agreeing,
            differing=len(answered) - agreeing,
        )


@dataclass(frozen=True)
class Answer:
    """The predictions for the inputs of a request, in their order."""

    version: ModelVersion
    classes: Sequence[str]
    labels: Sequence[str]
    probabilities: Sequence[Sequence[float]]
    explanations: Sequence[Sequence[Contribution]] | None

    def body(self, ids: Sequence[str]) -> bytes:
        """Return the answer as it is sent."""
        number, classes = self.version.version, self.classes
        predictions: list[dict[str, object]] = [
            {
                "prediction_id": prediction_id,
                "label": label,
                "probabilities": dict(zip(classes, row, strict=True)),
                "version": number,
            }
            for prediction_id, label, row in zip(ids, self.labels, self.probabilities, strict=True)
        ]
        if self.explanations is not None:
            for prediction, explanation in zip(predictions, self.explanations, strict=True):
                prediction["explanation"] = explanation
        return orjson.dumps({"model": self.version.problem, "predictions": predictions})

    def logged(self, ids: Sequence[str], inputs: Sequence[Input], seconds: float) -> Logged:
        """Return the answer as it is kept in the log."""
        return Logged(
            at=time(),
            problem=self.version.problem,
            version=self.version.version,
            ids=ids,
            labels=self.labels,
            probabilities=[max(row) for row in self.probabilities],
            inputs=inputs,
            seconds=seconds,
        )


def _answer(loaded: Loaded, inputs: Sequence[Input], *, explain: bool = False) -> Answer:
    scorer, version = loaded.scorer, loaded.version
    texts = cast("Sequence[str]", inputs)
    scores = scorer.probabilities(texts)
    classes = scorer.classes
    best = scores.argmax(axis=1).tolist()
    labels = [classes[index] for index in best]
    explanations = None
    if explain:
        explanations = [
            scorer.explain(text, label) for text, label in zip(texts, labels, strict=True)
        ]
    return Answer(version, classes, labels, scores.tolist(), explanations)


def _random_digits() -> Iterator[str]:
    """Yield what nobody can guess, and what never comes twice."""
    while True:
        digits = os.urandom(_ID_BYTES * _IDS_AT_ONCE).hex()
        for start in range(0, len(digits), _ID_DIGITS):
            yield digits[start : start + _ID_DIGITS]


def _measure(inputs: Sequence[Input], loaded: Loaded) -> list[int]:
    """Return the sizes of the inputs, which must be of the kind that the model takes."""
    wanted, name = (str, "a text") if loaded.kind == "text" else (dict, "an object of fields")
    for index, found in enumerate(inputs):
        if type(found) is not wanted:
            field = f"inputs[{index}]"
            raise ApiError(
                422,
                "wrong_type",
                f"{field} must be {name} for the model {loaded.version.problem}.",
                field=field,
            )
        if isinstance(found, dict):
            _check_fields(found, f"inputs[{index}]")
    return [len(found) for found in inputs]


def _check_fields(fields: Mapping[str, object], place: str) -> None:
    for name, value in fields.items():
        finite = not isinstance(value, float) or math.isfinite(value)
        if not (isinstance(value, FieldValue) and finite):
            field = f"{place}.{name[:_SHOWN]}"
            message = f"{field} must be a text, a finite number, a boolean or null."
            raise ApiError(422, "wrong_type", message, field=field)


def _portions(
    inputs: Sequence[Input], characters: Sequence[int], most: int
) -> Iterator[Sequence[Input]]:
    """Yield the inputs in order, in runs of about as many characters as are scored in one go."""
    begin = size = 0
    for index, count in enumerate(characters):
        if size and size + count > most:
            yield inputs[begin:index]
            begin, size = index, 0
        size += count
    yield inputs[begin:]


def _join(portions: Sequence[Answer]) -> Answer:
    first = portions[0]
    explained = [found for part in portions for found in part.explanations or ()]
    return Answer(
        first.version,
        first.classes,
        [found for part in portions for found in part.labels],
        [found for part in portions for found in part.probabilities],
        None if first.explanations is None else explained,
    )
