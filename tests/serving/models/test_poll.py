"""One question to the registry per poll, however many problems and workers there are."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from perennial.errors import OutsideError, UnavailableError
from perennial.registry.client import Registry
from perennial.registry.model_version import CANARY, PRODUCTION
from perennial.settings import Settings
from serving.models.poll import Found, Poll

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.usefixtures("machine")
MANY = 50
# Longer than any test: what is asked within it was asked for.
SECONDS = 3600.0


class Counted:
    """A client of MLflow that counts what it is asked; each question is one request."""

    def __init__(self, client: MlflowClient) -> None:
        self._client, self.asked = client, Counter[str]()
        self.away = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def ask(*args: Any, **options: Any) -> Any:
            self.asked[name] += 1
            if self.away:
                raise UnavailableError("MLflow cannot be reached.")
            return found(*args, **options)

        return ask

    def since(self) -> int:
        """Return how often it was asked since it was asked this."""
        count = self.asked.total()
        self.asked.clear()
        return count


@pytest.fixture
def mlflow(machine: Settings) -> MlflowClient:
    """MLflow of that machine, as a person uses it who does not know our registry."""
    from mlflow import MlflowClient

    address = f"sqlite:///{machine.data_dir / 'mlflow' / 'mlflow.db'}"
    return MlflowClient(address, address)


@pytest.fixture
def counted(mlflow: MlflowClient) -> Counted:
    return Counted(mlflow)


@pytest.fixture
def worker(counted: Counted, machine: Settings, tmp_path: Path) -> Callable[..., Poll]:
    """A function that returns the poll of another worker of this machine."""

    def start(seconds: float = SECONDS, folder: Path = tmp_path / "workers") -> Poll:
        return Poll(folder, seconds, lambda: Registry(counted, machine))  # type: ignore[arg-type]

    return start


def make(client: MlflowClient, name: str, canary: bool = False) -> None:
    """A problem with a Production, and perhaps a canary."""
    client.create_registered_model(name)
    for number in (1, 2):
        client.create_model_version(name, "source", tags={"perennial.canary.share": f"0.{number}"})
    client.set_registered_model_alias(name, PRODUCTION, "1")
    if canary:
        client.set_registered_model_alias(name, CANARY, "2")


def names(found: Found) -> set[str]:
    """The problems that a look has found, but for the one that every test here has."""
    return {each.problem for each in found.problems()} - {"reviews"}


def test_of_fifty_problems_and_four_workers_each_poll_asks_once(
    mlflow: MlflowClient, counted: Counted, worker: Callable[..., Poll]
) -> None:
    for number in range(MANY):
        make(mlflow, f"problem-{number}", canary=number % 2 == 0)
    workers = [worker() for _ in range(4)]

    found = [each.look(0) for each in workers]

    # The first look asks for every version that has an alias, once for all workers.
    assert counted.since() == 1 + MANY + MANY // 2
    for look in found:
        assert len(names(look)) == MANY
        production = look.find("problem-7", 1)
        assert production is not None
        assert production.version == 1
    for signal in range(1, 4):
        for each in workers:
            each.look(signal)
        assert counted.since() == 1


def test_what_has_changed_is_asked_for_and_nothing_else(
    mlflow: MlflowClient, counted: Counted, worker: Callable[..., Poll], registry: Registry
) -> None:
    for name in ("one", "other"):
        make(mlflow, name, canary=True)
    asking, told = worker(), worker()
    asking.look(0)
    counted.since()
    canary = registry.version("one", 2)

    registry.start_canary(canary, share=0.75)
    share = [each.look(1).find("one", 2) for each in (asking, told)]
    assert [each and each.share for each in share] == [0.75, 0.75]
    assert counted.since() == 3

    registry.promote(canary, expected=registry.production("one"))
    (aliases,) = [each for each in told.look(2).problems() if each.problem == "one"]
    assert aliases.versions == {PRODUCTION: 2, "previous": 1, CANARY: 2}
    assert counted.since() == 3


def test_a_tag_that_somebody_changed_by_hand_is_seen_in_turn(
    mlflow: MlflowClient,
    counted: Counted,
    worker: Callable[..., Poll],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(3):
        make(mlflow, f"problem-{number}", canary=True)
    monkeypatch.setattr("serving.models.poll._STALE_SECONDS", 0.0)
    poll = worker()
    poll.look(0)
    counted.since()
    mlflow.set_model_version_tag("problem-1", "2", "perennial.canary.share", "0.9")

    asked, shares = [], []
    for signal in range(1, 4):
        found = poll.look(signal).find("problem-1", 2)
        asked.append(counted.since())
        shares.append(found and found.share)

    # One list and the two versions of one problem, each time.
    assert asked == [3, 3, 3]
    assert shares[-1] == 0.9


def test_workers_that_look_at_once_wait_for_one_answer(
    mlflow: MlflowClient, counted: Counted, worker: Callable[..., Poll]
) -> None:
    make(mlflow, "one")
    workers = [worker() for _ in range(8)]
    found: list[set[str]] = []

    def look(poll: Poll) -> None:
        found.append(names(poll.look(0)))

    threads = [threading.Thread(target=look, args=(each,)) for each in workers]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert found == [{"one"}] * 8
    assert counted.asked["search_registered_models"] == 1


def test_a_worker_hears_of_the_look_of_another_and_not_of_its_own(
    mlflow: MlflowClient, worker: Callable[..., Poll]
) -> None:
    make(mlflow, "one")
    asking, told = worker(), worker()
    asking.look(0)

    assert told.has_news()
    assert not asking.has_news()
    told.look(0)
    assert not told.has_news()


def test_a_registry_that_is_away_is_waited_for_by_one_worker_and_known_of_when_it_is_back(
    mlflow: MlflowClient, counted: Counted, worker: Callable[..., Poll]
) -> None:
    make(mlflow, "one")
    workers = [worker() for _ in range(3)]
    workers[0].look(0)
    counted.since()
    counted.away = True

    for each in workers:
        with pytest.raises(OutsideError, match="MLflow cannot be reached"):
            each.look(1)
    assert counted.since() == 1

    counted.away = False
    found = workers[1].look(2)
    assert names(found) == {"one"}
    # What was known before is known still.
    assert counted.since() == 1


@pytest.mark.parametrize("content", [b"", b"{", b'{"signal": "x"}', b"\xff"])
def test_a_file_that_is_damaged_is_asked_for_anew(
    content: bytes, mlflow: MlflowClient, worker: Callable[..., Poll], tmp_path: Path
) -> None:
    make(mlflow, "one")
    poll = worker()
    poll.look(0)
    (tmp_path / "workers" / "registry.json").write_bytes(content)

    assert names(poll.look(0)) == {"one"}
    assert names(worker().look(0)) == {"one"}


def test_without_a_disk_each_worker_asks_for_itself(
    mlflow: MlflowClient, counted: Counted, worker: Callable[..., Poll], tmp_path: Path
) -> None:
    make(mlflow, "one")
    (tmp_path / "file").write_text("no folder")

    found = [worker(folder=tmp_path / "file" / "workers").look(0) for _ in range(2)]

    assert [names(each) for each in found] == [{"one"}] * 2
    assert counted.asked["search_registered_models"] == 2


def test_an_answer_of_before_a_worker_began_is_not_taken_for_its_registrys(
    mlflow: MlflowClient, counted: Counted, worker: Callable[..., Poll]
) -> None:
    make(mlflow, "one")
    worker().look(0)
    make(mlflow, "other")

    assert names(worker().look(0)) == {"one", "other"}


def test_the_trouble_of_one_problem_is_that_of_no_other(
    mlflow: MlflowClient,
    worker: Callable[..., Poll],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("bad", "good"):
        make(mlflow, name)
    find = Registry.find

    def broken(self: Registry, problem: str, number: int) -> Any:
        if problem == "bad":
            raise OutsideError("Its tags cannot be read.")
        return find(self, problem, number)

    poll = worker()
    with monkeypatch.context() as while_broken:
        while_broken.setattr(Registry, "find", broken)
        found = poll.look(0)
        assert found.find("good", 1) is not None
        with pytest.raises(OutsideError, match="cannot be read"):
            found.find("bad", 1)

    assert poll.look(1).find("bad", 1) is not None
