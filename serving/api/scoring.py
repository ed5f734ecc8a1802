"""What a version says about inputs, without keeping other requests waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic
from typing import TypeVar

from perennial.concurrency import Steps, finish
from perennial.inference.contribution import Explanation
from perennial.settings import ServingSettings
from serving.api.answer import Answer, join
from serving.api.errors import ApiError
from serving.api.schemas import Input
from serving.api.turns import Turns
from serving.models.loaded import Loaded

T = TypeVar("T")

# Factor for the size of a portion if calls of the predictor have a high overhead; such portions run
# in a thread.
_TIMES_AS_LARGE = 10
# Turns of the event loop between two portions: as many as a small request needs for its answer.
_ROUNDS = 3
_NO_EXPLANATION = Explanation((), 0.0)


def answer(loaded: Loaded, inputs: Sequence[Input], *, explain: bool = False) -> Answer:
    """Return what a version says about inputs."""
    if explain:
        return finish(explain_in_steps(loaded, inputs))
    predictor = loaded.predictor
    scores, warnings, known = predictor.assess(inputs)
    decided = predictor.decide(scores)
    return Answer(loaded.version, predictor.classes, decided, scores, known, None, warnings)


def explain_in_steps(loaded: Loaded, inputs: Sequence[Input]) -> Steps[Answer]:
    """Return what a version says about inputs, and why, in steps that are small."""
    predictor = loaded.predictor
    answered = answer(loaded, inputs)
    explanations: list[Explanation] = []
    rows = zip(inputs, answered.labels, answered.answered, strict=True)
    for each, label, is_answered in rows:
        yield
        explanations.append(
            (yield from predictor.explanation_in_steps(each, label))
            if is_answered
            else _NO_EXPLANATION
        )
    return answered._replace(explanations=explanations)


def _next(steps: Steps[Answer]) -> Answer | None:
    """Do the next step; return the answer if it was the last one."""
    try:
        next(steps)
    except StopIteration as end:
        answered: Answer = end.value
        return answered
    return None


class Scorer:
    """Scores the inputs of requests, in portions where they are many.

    Parameters
    ----------
    settings : ServingSettings
        How much is scored in one go, and for how long.
    """

    def __init__(self, settings: ServingSettings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(1, "classify")
        self._turns = Turns()

    def end(self) -> None:
        """Shut down the thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def answer(
        self,
        loaded: Loaded,
        inputs: Sequence[Input],
        characters: Sequence[int],
        client: Callable[[], str],
        *,
        explain: bool,
    ) -> Answer:
        """Answer a small request at once, and a large one without keeping others waiting.

        Parameters
        ----------
        loaded : Loaded
            The version that answers.
        inputs : sequence
            The inputs.
        characters : sequence of int
            Size of each input.
        client : callable
            Returns who asks; large requests of different clients get the same time.
        explain : bool
            Whether each answer is explained, which weighs what it costs of this version.
        """
        if explain:
            characters = [round(loaded.explanation_cost * count) for count in characters]
        if sum(characters) <= self._settings.inline_characters:
            return answer(loaded, inputs, explain=explain)
        return await self._answer_in_turns(loaded, inputs, characters, client(), explain)

    async def _answer_in_turns(
        self,
        loaded: Loaded,
        inputs: Sequence[Input],
        characters: Sequence[int],
        client: str,
        explain: bool,
    ) -> Answer:
        """Answer a large request in portions, so that other requests are answered in between.

        A worker scores one portion at a time, whichever request it belongs to. Most are scored on
        the event loop: the way to a thread and back takes a fifth as long as the scoring.
        """
        deadline = monotonic() + self._settings.answer_seconds
        portions = []
        for portion, size in self._portions(loaded, inputs, characters):
            if explain and size > self._settings.inline_characters:
                portions.append(await self._explain_in_turns(loaded, portion, client, deadline))
                continue
            async with self._turn(client, deadline):
                portions.append(await self._answer_portion(loaded, portion, size, explain))
        return join(portions)

    async def _explain_in_turns(
        self, loaded: Loaded, inputs: Sequence[Input], client: str, deadline: float
    ) -> Answer:
        """Explain what is too much for one turn: each step is a turn of its own."""
        steps, answered = explain_in_steps(loaded, inputs), None
        while answered is None:
            async with self._turn(client, deadline):
                answered = await self._in_thread(partial(_next, steps))
        return answered

    @asynccontextmanager
    async def _turn(self, client: str, deadline: float) -> AsyncIterator[None]:
        """Wait for a turn, unless it comes too late."""
        async with self._turns.take(client):
            if monotonic() > deadline:
                raise _too_much_work(self._settings.answer_seconds)
            yield

    async def _answer_portion(
        self, loaded: Loaded, inputs: Sequence[Input], size: int, explain: bool
    ) -> Answer:
        if size > self._settings.inline_characters:
            return await self._in_thread(partial(answer, loaded, inputs, explain=explain))
        answered = answer(loaded, inputs, explain=explain)
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        return answered

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

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


def _too_much_work(seconds: float) -> ApiError:
    return ApiError(
        429,
        "too_much_work",
        f"The inputs could not be classified within {seconds:g} s; send fewer at once, or try "
        "again later.",
        headers={"Retry-After": "1"},
    )
