"""What the service does when something happens to it, under load.

python -m benchmarks.resilience

A service of two workers with a model of the 25,000 IMDb reviews is asked all the time while

- *swaps*: 20 new versions become Production, one every three seconds;
- *kill*: a worker is killed with SIGKILL, and the service ended with SIGTERM;
- *away*: the registry and MongoDB are gone from before its start until its end;
- *counts*: 5,000 requests are counted by the client and by `/metrics`;
- *bad*: 10,000 requests are wrong, half of them made by schemathesis from `/openapi.json`;
- *attacks*: connections send heads of 22 and 50 MB, and 320 others say little or nothing.

`swap_failures`, `swap_strangers` (answers by a version that was not Production at the time, or by
two versions at once), `term_failures`, `away_failures`, `count_difference` and `bad_failures`
should be 0, `kill_failures` at most `kill_connections`, which the killed worker had; `swap_p99`
is the p99 latency during swaps over the one without, `bad_memory` the memory of the workers after
over before. `attack_NAME_p99` is the p99 latency of others meanwhile over the one without, the
median of three rounds, `attack_NAME_memory` the memory of the workers after all of them over
before, and `attack_NAME_seconds` how long the service kept a bad connection at most, of which
`attack_NAME_open` stayed open.
"""

from __future__ import annotations

import argparse
import re
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.common import read_reviews, write_json
from benchmarks.retrain import Ours, write_documents
from benchmarks.service.attacks import ATTACKS, Attacked, joined, repeat
from benchmarks.service.bad import SERVER_ERROR, send_bad
from benchmarks.service.clients import Seen, ask_for, ask_times
from benchmarks.service.in_process import SNIPPETS, read_texts
from benchmarks.service.servers import Running, answers, free_port, running
from benchmarks.serving import CANDIDATE, our_command, serving_environment
from perennial.registry.client import open_registry
from perennial.registry.model_version import ModelVersion

OK = 200
CONNECTIONS = 16
VERSIONS = 20
SWAP_SECONDS = 3.0
CALM_SECONDS = 30.0
KILL_SECONDS = 25.0
AWAY_SECONDS = 20.0
ATTACK_SECONDS = 15.0
ATTACK_ROUNDS = 3
REQUESTS = 5_000
BAD = 10_000
POLL_SECONDS = 1.0
# A worker looks a quarter later than it should at most, then fetches and checks the version.
LATE_SECONDS = POLL_SECONDS * 1.25 + 2.0


@dataclass(frozen=True)
class Trial:
    """What every trial needs."""

    ours: Ours
    environment: Mapping[str, str]
    texts: Sequence[str]
    log: Path

    @contextmanager
    def service(self, **variables: str) -> Iterator[Running]:
        """Run the service."""
        polled = {"SERVING_POLL_SECONDS": str(POLL_SECONDS)}
        environment = {**self.environment, **polled, **variables}
        with running(our_command, environment, self.log, "/readyz") as service:
            ask_for(url_of(service), self.texts, connections=CONNECTIONS, seconds=3)
            yield service


def url_of(service: Running) -> str:
    """Return where the service classifies."""
    return f"{service.url}/classify"


def swaps(trial: Trial) -> dict[str, float]:
    """Promote version after version under load."""
    versions = register_versions(trial.ours)
    times: dict[int, float] = {}
    with trial.service() as service, ThreadPoolExecutor(1) as beside:
        calm = ask_for(url_of(service), trial.texts, connections=CONNECTIONS, seconds=CALM_SECONDS)
        promotion = beside.submit(_promote_all, trial.ours, versions, times)
        seconds = VERSIONS * SWAP_SECONDS
        seen = ask_for(url_of(service), trial.texts, connections=CONNECTIONS, seconds=seconds)
        promotion.result()
    return {
        "swap_requests": len(seen),
        "swap_failures": sum(one.status != OK for one in [*calm, *seen]),
        "swap_versions": len({number for one in seen for number in one.versions}),
        "swap_strangers": sum(not _was_production(one, times) for one in seen),
        "swap_p99": p99(seen) / p99(calm),
        "swap_p99_ms": p99(seen),
        "calm_p99_ms": p99(calm),
    }


def register_versions(ours: Ours) -> list[ModelVersion]:
    """Register the Production model again and again; return the versions."""
    registry = open_registry(ours.project.settings)
    production = registry.require_production(ours.problem)
    model, golden = registry.load(production), registry.fetch(production).golden
    return [
        registry.register(ours.problem, production.run_id, model, golden, tags={})
        for _ in range(VERSIONS)
    ]


def _promote_all(ours: Ours, versions: Sequence[ModelVersion], times: dict[int, float]) -> None:
    """Promote one version after the other, and note when each became Production."""
    registry = open_registry(ours.project.settings)
    pause = threading.Event()
    for version in versions:
        current = registry.production(ours.problem)
        if current is not None:
            times.setdefault(current.version, 0.0)
        registry.promote(version, expected=current)
        times[version.version] = time.time()
        pause.wait(SWAP_SECONDS)


def _was_production(one: Seen, times: Mapping[int, float]) -> bool:
    """Return whether one version answered, and was Production then or until shortly before."""
    if len(one.versions) != 1:
        return False
    (number,) = one.versions
    ends = [begin for other, begin in times.items() if other > number]
    begun = number in times and times[number] <= one.answered
    return begun and (not ends or one.sent <= min(ends) + LATE_SECONDS)


def kill(trial: Trial) -> dict[str, float]:
    """Kill a worker under load, then end the service under load."""
    with trial.service() as service, ThreadPoolExecutor(1) as beside:
        before = set(workers(service))
        asking = beside.submit(
            ask_for, url_of(service), trial.texts, connections=CONNECTIONS, seconds=KILL_SECONDS
        )
        pause = threading.Event()
        pause.wait(3)
        begin = time.time()
        victim = psutil.Process(min(before))
        held = [
            each.status == psutil.CONN_ESTABLISHED for each in victim.net_connections(kind="tcp")
        ]
        victim.kill()
        while len(set(workers(service)) - {min(before)}) < len(before):
            pause.wait(0.05)
        back = _wait_for_worker(trial, service, set(workers(service)) - before, begin)
        killed = asking.result()

        asking = beside.submit(
            ask_for, url_of(service), trial.texts, connections=CONNECTIONS, seconds=5
        )
        pause.wait(2)
        ended = time.time()
        service.process.send_signal(signal.SIGTERM)
        seen = asking.result()
    return {
        "kill_requests": len(killed),
        "kill_failures": sum(one.status != OK for one in killed),
        "kill_connections": sum(held),
        "kill_back_seconds": back,
        "term_failures": sum(one.status != OK for one in seen if one.sent < ended),
    }


def workers(service: Running) -> list[int]:
    """Return the ids of the processes that answer."""
    found = []
    for process in psutil.Process(service.process.pid).children(recursive=True):
        try:
            if "--worker-id" in process.cmdline():
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def _wait_for_worker(trial: Trial, service: Running, new: set[int], begin: float) -> float:
    """Return the seconds until a new worker has counted a request."""
    (pid,) = new
    while time.time() - begin < KILL_SECONDS:
        # On a new connection: the present ones stay with the worker that has them.
        answers(f"{service.url}/livez")
        if any(trial.ours.project.data.glob(f"serving/**/counter_{pid}.db")):
            return time.time() - begin
    return float("inf")


def away(trial: Trial) -> dict[str, float]:
    """Run without the registry and without MongoDB from the start."""
    nowhere = f"127.0.0.1:{free_port()}"
    gone = {"MLFLOW_TRACKING_URI": f"http://{nowhere}", "MONGODB_URI": f"mongodb://{nowhere}"}
    with trial.service(**gone) as service:
        seen = ask_for(url_of(service), trial.texts, connections=CONNECTIONS, seconds=AWAY_SECONDS)
    return {
        "away_requests": len(seen),
        "away_failures": sum(one.status != OK for one in seen),
    }


def counts(trial: Trial) -> dict[str, float]:
    """Compare the client's counts with those of the service."""
    with trial.service() as service:
        before = _counted(service)
        seen = ask_times(url_of(service), trial.texts, connections=CONNECTIONS, times=REQUESTS)
        counted = _counted(service) - before
    expected = Counter(label for one in seen for label in one.labels)
    expected["200"] = sum(one.status == OK for one in seen)
    names = expected.keys() | counted.keys()
    return {
        "count_requests": len(seen),
        "count_difference": sum(abs(expected[name] - counted[name]) for name in names),
    }


def _counted(service: Running) -> Counter[str]:
    """Return the requests for predictions by status, and the predictions by class."""
    with urllib.request.urlopen(f"{service.url}/metrics") as answer:  # noqa: S310
        lines = answer.read().decode().splitlines()
    found: Counter[str] = Counter()
    for line in lines:
        name, _, value = line.rpartition(" ")
        if name.startswith("app_request_count_total{") and 'route="/classify"' in name:
            found[_label(name, "status")] += int(float(value))
        elif name.startswith("model_prediction_count_total{"):
            found[_label(name, "class")] += int(float(value))
    return found


def _label(series: str, name: str) -> str:
    found = re.search(rf'{name}="([^"]*)"', series)
    if found is None:
        raise RuntimeError(f"{series} has no label {name}")
    return found[1]


def bad(trial: Trial) -> dict[str, float]:
    """Send bad requests, and look whether the service fails, grows or stops answering."""
    with trial.service() as service:
        # What bodies of megabytes need once is kept for the next; growth is what comes after.
        send_bad(service.url, BAD // 10)
        before = _memory(service)
        statuses = send_bad(service.url, BAD)
        after = _memory(service)
        seen = ask_times(url_of(service), trial.texts, connections=CONNECTIONS, times=100)
    return {
        "bad_requests": statuses.total(),
        "bad_failures": sum(n for status, n in statuses.items() if status >= SERVER_ERROR),
        "bad_unanswered": statuses[0],
        "bad_memory": after / before,
        "bad_then_answered": sum(one.status == OK for one in seen) / len(seen),
        **{f"bad_status_{status}": n for status, n in sorted(statuses.items())},
    }


def attacks(trial: Trial) -> dict[str, float]:
    """Attack with raw sockets, and look what that is to others."""
    figures: dict[str, float] = {}
    with trial.service() as service, ProcessPoolExecutor(1) as beside:
        address = urlsplit(service.url)
        host, port = str(address.hostname), int(address.port or 0)

        def ask() -> Sequence[Seen]:
            url = url_of(service)
            return ask_for(url, trial.texts, connections=CONNECTIONS, seconds=ATTACK_SECONDS)

        for name in ATTACKS:
            before, found, ratios, asked = _memory(service), list[Attacked](), list[float](), 0
            failures = 0
            for _ in range(ATTACK_ROUNDS):
                calm = ask()
                attacked = beside.submit(repeat, name, host, port, ATTACK_SECONDS)
                seen = ask()
                found.append(attacked.result())
                ratios.append(p99(seen) / p99(calm))
                failures += sum(one.status != OK for one in [*calm, *seen])
                asked += len(calm) + len(seen)
            whole = joined(found)
            figures |= {
                f"attack_{name}_connections": whole.opened,
                f"attack_{name}_open": whole.opened - whole.closed,
                f"attack_{name}_seconds": whole.longest,
                f"attack_{name}_p99": median(ratios),
                f"attack_{name}_memory": _memory(service) / before,
                f"attack_{name}_requests": asked,
                f"attack_{name}_failures": failures,
            }
    return figures


def _memory(service: Running) -> float:
    return float(sum(psutil.Process(pid).memory_info().rss for pid in workers(service)))


def p99(seen: Sequence[Seen]) -> float:
    """Return the p99 latency in milliseconds."""
    return float(np.quantile([one.milliseconds for one in seen], 0.99))


TRIALS: dict[str, Callable[[Trial], dict[str, float]]] = {
    "swaps": swaps,
    "kill": kill,
    "away": away,
    "counts": counts,
    "bad": bad,
    "attacks": attacks,
}


def measure(names: Sequence[str]) -> dict[str, float]:
    """Run trials on one model."""
    figures: dict[str, float] = {}
    with TemporaryDirectory() as name:
        scratch = Path(name)
        documents = write_documents(scratch / "reviews.csv", read_reviews())
        ours = Ours(scratch, "ours", documents, CANDIDATE)
        ours.fresh()
        with serving_environment(ours.project) as environment:
            trial = Trial(ours, environment, read_texts()[SNIPPETS], scratch / "service.log")
            for trial_name in names:
                figures |= TRIALS[trial_name](trial)
    return figures


def show(figures: Mapping[str, float]) -> None:
    """Print all figures."""
    table = Table("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}" if value % 1 else f"{value:,.0f}")
    Console().print(table)


def main() -> None:
    """Run the trials and print what they found."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    arguments.add_argument("trials", nargs="*", metavar="TRIAL", help=", ".join(TRIALS))
    options = arguments.parse_args()
    unknown = set(options.trials) - TRIALS.keys()
    if unknown:
        arguments.error(f"no such trial: {', '.join(unknown)}; there are {', '.join(TRIALS)}")
    figures = measure(options.trials or list(TRIALS))
    write_json(options.json, figures)
    show(figures)


if __name__ == "__main__":
    main()
