"""``POST /classify``, from the body's bytes to the answer's bytes."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic, perf_counter, time
from typing import NamedTuple

from starlette.types import Receive, Scope, Send

from perennial.settings import ServingSettings
from perennial.stores.prediction_log import Failure
from serving.api.answer import Answer, join
from serving.api.auth import ApiKeys
from serving.api.errors import ApiError, InputError
from serving.api.inputs import Checked, check_inputs, leave_out_unanswered, measure
from serving.api.middleware import read_body, send_json
from serving.api.parsing import decode, parse, require_json
from serving.api.schemas import ClassifyRequest, Input, classify_request
from serving.models import routing
from serving.models.loaded import Loaded, Served
from serving.models.store import ModelStore
from serving.telemetry.log import PredictionLog
from serving.telemetry.metrics import Metrics

# Factor for the size of a portion if calls of the predictor have a high overhead; such portions run
# in a thread.
_TIMES_AS_LARGE = 10
# Turns of the event loop between two portions: as many as a small request needs for its answer.
_ROUNDS = 3
# Cost of an explained answer, relative to an answer without explanation.
_EXPLAIN_WEIGHT = 16
_MOST_SHADOWS = 4


class Answered(NamedTuple):
    """The predictions for a request.

    Attributes
    ----------
    answer : Answer
        The predictions, in the order of the inputs that can be classified.
    ids : list of str
        Identifier of each prediction.
    errors : sequence of InputError
        What is wrong with each other input, in their order.
    """

    answer: Answer
    ids: list[str]
    errors: Sequence[InputError]


class Classify:
    """ASGI application that answers requests for predictions.

    Parameters
    ----------
    store : ModelStore
        Models in memory.
    log : PredictionLog
        Log of the predictions.
    metrics : Metrics
        Counters of the predictions.
    settings : ServingSettings
        Limits of requests.
    keys : ApiKeys
        Who may classify.
    """

    def __init__(
        self,
        store: ModelStore,
        log: PredictionLog,
        metrics: Metrics,
        settings: ServingSettings,
        keys: ApiKeys,
    ) -> None:
        self._store, self._log, self._metrics = store, log, metrics
        self._settings, self._keys = settings, keys
        self._request = classify_request(settings)
        self._pool = ThreadPoolExecutor(1, "classify")
        self._turn = asyncio.Lock()
        self._shadow_pool = ThreadPoolExecutor(1, "shadow")
        self._shadows = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request = parse(self._request, await self.read(headers, receive))
        answered = await self.answer(request, headers)
        await send_json(send, answered.answer.body(answered.ids, answered.errors))

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """Return the body of a request that may classify, unpacked.

        Raises
        ------
        ApiError
            If its key may not, or it is no body of JSON within the limits.
        DisconnectedError
            If the client disconnects before.
        """
        if self._keys:
            self._keys.require(headers, "classify")
        require_json(headers)
        most = self._settings.max_body_bytes
        body = await read_body(headers, receive, most=most, seconds=self._settings.body_seconds)
        return decode(headers, body, most)

    async def answer(self, request: ClassifyRequest, headers: Mapping[bytes, bytes]) -> Answered:
        """Return the predictions for a request, counted and logged.

        Raises
        ------
        ApiError
            If the model is not served, no input can be classified, or not each one where
            `on_error` says so, or it takes too long.
        """
        is_strict = request.on_error == "refuse"
        served = self.served(request.model)
        key = headers.get(b"x-request-key")
        loaded = routing.choose(served, key)
        most = self._settings.max_characters
        checked = check_inputs(request.inputs, loaded, max_characters=most)
        self._require(served.problem, checked, all_=is_strict)
        characters = measure(checked.usable, loaded)
        start = perf_counter()
        try:
            answer = await self._answer(loaded, checked.usable, characters, request.explain)
        except Exception:
            self._log_failure(loaded)
            raise
        seconds = perf_counter() - start
        if loaded.fields is not None:
            answer, checked = leave_out_unanswered(answer, checked, loaded)
            self._require(served.problem, checked, all_=is_strict)
        if served.abstain is not None:
            answer = answer.judged(served.abstain)
        ids = self._record(loaded, checked, answer, characters, seconds)
        shadow = routing.shadow(served, key)
        if shadow is not None:
            self._show(shadow, checked.usable, answer.labels)
        return Answered(answer, ids, checked.errors if checked.refused else ())

    def _record(
        self,
        loaded: Loaded,
        checked: Checked,
        answer: Answer,
        characters: Sequence[int],
        seconds: float,
    ) -> list[str]:
        """Count and log what was answered, and return the ids of the predictions."""
        inputs, problem = checked.usable, loaded.version.problem
        if checked.refused:
            self._metrics.refused(problem, [error.code for error in checked.errors])
        self._count(loaded, characters, answer)
        is_logged = self._is_logged() and self._log.takes(len(inputs))
        number = loaded.version.version
        ids = self._log.signing.issue(problem, number, len(inputs), logged=is_logged)
        if is_logged:
            self._log.add(answer.logged(ids, inputs, seconds))
        return ids

    def _require(self, problem: str, checked: Checked, *, all_: bool) -> None:
        """Refuse a request if no input, or not each one, can be classified; count what cannot."""
        if not checked.usable or (all_ and checked.refused):
            self._metrics.refused(problem, [error.code for error in checked.errors])
            raise checked.refusal()

    def end(self) -> None:
        """Shut down the thread pools."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._shadow_pool.shutdown(wait=False, cancel_futures=True)

    def served(self, given: str | None) -> Served:
        """Return the versions of a problem.

        Without a name it is the one of SERVING_DEFAULT_MODEL, else the only one.

        Raises
        ------
        ApiError
            503 if there is no model yet, 404 if not this one, 422 if there are several to choose
            from.
        """
        served = self._store.served
        name = given or self._settings.default_model
        if not served:
            raise ApiError(
                503,
                "no_model",
                "No model is in Production yet; the service polls the registry every few seconds.",
                headers={"Retry-After": str(max(1, round(self._settings.poll_seconds)))},
            )
        if name is None and len(served) == 1:
            return next(iter(served.values()))
        known = ", ".join(sorted(served))
        if name is None:
            raise ApiError(
                422,
                "missing",
                f"model is required when several are served and SERVING_DEFAULT_MODEL is not set; "
                f"known models: {known}.",
                field="model",
            )
        if name not in served:
            which = "This model" if given else f"SERVING_DEFAULT_MODEL, {name},"
            message = f"{which} is not served; known models: {known}."
            raise ApiError(404, "unknown_model", message, field="model")
        return served[name]

    async def _answer(
        self,
        loaded: Loaded,
        inputs: Sequence[Input],
        characters: Sequence[int],
        explain: bool,
    ) -> Answer:
        """Answer a small request at once, and a large one without keeping others waiting."""
        if explain:
            characters = [_EXPLAIN_WEIGHT * count for count in characters]
        if sum(characters) <= self._settings.inline_characters:
            return _answer(loaded, inputs, explain=explain)
        return await self._answer_in_turns(loaded, inputs, characters, explain)

    async def _answer_in_turns(
        self,
        loaded: Loaded,
        inputs: Sequence[Input],
        characters: Sequence[int],
        explain: bool,
    ) -> Answer:
        """Answer a large request in portions, so that other requests are answered in between.

        A worker scores one portion at a time, whichever request it belongs to. Most are scored on
        the event loop: the way to a thread and back takes a fifth as long as the scoring.
        """
        deadline = monotonic() + self._settings.answer_seconds
        portions = []
        for portion, size in self._portions(loaded, inputs, characters):
            async with self._turn:
                if monotonic() > deadline:
                    raise _too_much_work(self._settings.answer_seconds)
                portions.append(await self._answer_portion(loaded, portion, size, explain))
        return join(portions)

    async def _answer_portion(
        self, loaded: Loaded, inputs: Sequence[Input], size: int, explain: bool
    ) -> Answer:
        if size > self._settings.inline_characters:
            answer = partial(_answer, loaded, inputs, explain=explain)
            return await asyncio.get_running_loop().run_in_executor(self._pool, answer)
        answered = _answer(loaded, inputs, explain=explain)
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        return answered

    def _portions(
        self, loaded: Loaded, inputs: Sequence[Input], characters: Sequence[int]
    ) -> Iterator[tuple[Sequence[Input], int]]:
        """Yield runs of inputs, in order, each with about as many characters as are scored at once.

        Predictors with high call overhead get long runs, scored in a thread like one long text.
        """
        most = self._settings.inline_characters
        if not loaded.predictor.has_low_call_overhead:
            most *= _TIMES_AS_LARGE
        begin = size = 0
        for index, count in enumerate(characters):
            if size and size + count > most:
                yield inputs[begin:index], size
                begin, size = index, 0
            size += count
        yield inputs[begin:], size

    def _is_logged(self) -> bool:
        share = self._settings.log_share
        return share == 1 or random.random() < share  # noqa: S311

    def _log_failure(self, loaded: Loaded) -> None:
        """Log a failure of a version, sampled like the answers."""
        if self._is_logged():
            version = loaded.version
            self._log.add_failure(Failure(time(), version.problem, version.version))

    def _count(self, loaded: Loaded, characters: Sequence[int], answer: Answer) -> None:
        problem, number = loaded.version.problem, loaded.version.version
        if loaded.fields is None:
            self._metrics.lengths(problem, characters)
        classes, decided = answer.classes, answer.decided
        if answer.abstained is not None:
            for reason, count in Counter(filter(None, answer.abstained)).items():
                self._metrics.abstained(problem, number, reason, count)
            pairs = zip(decided, answer.abstained, strict=True)
            decided = [position for position, why in pairs if why is None]
        if len(decided) == 1:
            self._metrics.predicted(problem, number, classes[decided[0]], 1)
            return
        for position, count in Counter(decided).items():
            self._metrics.predicted(problem, number, classes[position], count)

    def _show(self, shadow: Loaded, inputs: Sequence[Input], answered: Sequence[str]) -> None:
        """Predict with the shadow in the background; skip the request if the shadow is busy."""
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


def _answer(loaded: Loaded, inputs: Sequence[Input], *, explain: bool = False) -> Answer:
    predictor, version = loaded.predictor, loaded.version
    scores, warnings, known = predictor.assess(inputs)
    classes = predictor.classes
    decided = predictor.decide(scores)
    explanations = None
    if explain:
        explanations = [
            predictor.explain(each, classes[position]) if row[0] >= 0 else []
            for each, position, row in zip(inputs, decided, scores.tolist(), strict=True)
        ]
    return Answer(version, classes, decided, scores, known, explanations, warnings)


def _too_much_work(seconds: float) -> ApiError:
    return ApiError(
        429,
        "too_much_work",
        f"The inputs could not be classified within {seconds:g} s; send fewer at once, or try "
        "again later.",
        headers={"Retry-After": "1"},
    )
