"""``POST /classify``, from the body's bytes to the answer's bytes."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter, time
from typing import Any, NamedTuple

from starlette.types import Receive, Scope, Send

from perennial.settings import ServingSettings
from perennial.stores.prediction_log import Failure
from serving.api import scoring
from serving.api.answer import Answer
from serving.api.auth import ApiKeys, sender
from serving.api.errors import ApiError, InputError
from serving.api.inputs import Checked, check_inputs, leave_out_unanswered, measure
from serving.api.schemas import Input, classify_request
from serving.api.scoring import Scorer
from serving.api.wire.answers import send_json
from serving.api.wire.body import read_body
from serving.api.wire.parsing import decode, parse, require_json
from serving.models import routing
from serving.models.loaded import Loaded, Served
from serving.models.store import ModelStore
from serving.telemetry.log import PredictionLog
from serving.telemetry.metrics import Metrics

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
        self._scorer = Scorer(settings)
        self._shadow_pool = ThreadPoolExecutor(1, "shadow")
        self._shadows = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request = parse(self._request, await self.read(headers, receive))
        answer, ids, errors = await self._answer(
            self.served(request.model),
            request.inputs,
            scope,
            explain=request.explain,
            is_strict=request.on_error == "refuse",
        )
        await send_json(send, answer.body(ids, errors), headers)

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

    async def answer_all(
        self,
        served: Served,
        inputs: Sequence[Any],
        scope: Scope,
        pinned: Loaded | None = None,
    ) -> Answered:
        """Return the predictions for inputs that came by another protocol: all, or none.

        Parameters
        ----------
        served : Served
            The problem.
        inputs : sequence
            The inputs, not looked at yet.
        scope : Scope
            Of the request.
        pinned : Loaded, optional
            The version that answers; default Production, or for its share the canary.

        Raises
        ------
        ApiError
            If there are none or too many, one of them cannot be classified, or it takes too long.
        """
        most = self._settings.max_inputs
        if not inputs:
            raise ApiError(422, "empty", "inputs must not be empty.", field="inputs")
        if len(inputs) > most:
            message = f"inputs has more than the {most:,} entries that are allowed."
            raise ApiError(422, "too_many", message, field="inputs")
        return await self._answer(
            served, inputs, scope, explain=False, is_strict=True, pinned=pinned
        )

    async def _answer(
        self,
        served: Served,
        given: Sequence[Any],
        scope: Scope,
        *,
        explain: bool,
        is_strict: bool,
        pinned: Loaded | None = None,
    ) -> Answered:
        """Return the predictions for inputs, counted and logged; all or none if it is strict."""
        headers = dict(scope["headers"])
        self._keys.require_problem(headers, "classify", served.problem, "model")
        key = headers.get(b"x-request-key")
        loaded = pinned or routing.choose(served, key)
        checked = check_inputs(given, loaded, max_characters=self._settings.max_characters)
        self._require(served.problem, checked, all_=is_strict)
        if served.redact is not None:
            # Before anything is logged, and as the model has learned it.
            checked = checked._replace(usable=[served.redact.apply(x) for x in checked.usable])
        characters = measure(checked.usable, loaded)
        client = partial(sender, scope, has_key=bool(self._keys))
        start = perf_counter()
        try:
            answer = await self._scorer.answer(
                loaded, checked.usable, characters, client, explain=explain
            )
        except ApiError:
            # There was too much to do, for which no version is to blame.
            raise
        except Exception:
            self._log_failure(loaded)
            self._metrics.classified(loaded.version.problem, failed=True)
            raise
        seconds = perf_counter() - start
        self._metrics.classified(loaded.version.problem)
        if loaded.fields is not None:
            answer, checked = leave_out_unanswered(answer, checked, loaded)
            self._require(served.problem, checked, all_=is_strict)
        if served.abstain is not None:
            answer = answer.judged(served.abstain)
        ids = self._record(loaded, checked, answer, characters, seconds, key)
        shadow = routing.shadow(served, key)
        if shadow is not None and pinned is None:
            self._show(shadow, checked.usable, answer.labels)
        return Answered(answer, ids, checked.errors if checked.refused else ())

    def _record(
        self,
        loaded: Loaded,
        checked: Checked,
        answer: Answer,
        characters: Sequence[int],
        seconds: float,
        key: bytes | None,
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
            self._log.add(answer.logged(ids, inputs, seconds, key))
        return ids

    def _require(self, problem: str, checked: Checked, *, all_: bool) -> None:
        """Refuse a request if no input, or not each one, can be classified; count what cannot."""
        if not checked.usable or (all_ and checked.refused):
            self._metrics.refused(problem, [error.code for error in checked.errors])
            raise checked.refusal()

    def end(self) -> None:
        """Shut down the thread pools."""
        self._scorer.end()
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
        if not self._store.knows(name):
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
        if answer.warnings is not None:
            codes = Counter(each.code.value for found in answer.warnings for each in found)
            for code, count in codes.items():
                self._metrics.warned(problem, code, count)
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
        done = loop.run_in_executor(self._shadow_pool, scoring.answer, shadow, inputs)
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
