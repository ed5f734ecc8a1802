"""Our flows as processes of their own, on a data folder of their own."""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import Usage, clean_environment, run_module
from perennial.local import embedded
from perennial.settings import Settings


@dataclass(frozen=True)
class Retrained:
    """What one process of a retraining took, and the seconds that it reports for each step.

    Those of processors, which worked for it meanwhile, are `processor`. `features_mb` is the
    size of the features, as it says.
    """

    usage: Usage
    steps: Mapping[str, float]
    processor: Mapping[str, float]
    features_mb: float


class Project:
    """The project with its data below a scratch folder.

    Parameters
    ----------
    scratch : Path
        What projects share: byte code, caches.
    name : str
        Folder of the data in there.
    problems : Path
        Folder of the problem files.
    """

    def __init__(self, scratch: Path, name: str, problems: Path) -> None:
        self.data = scratch / name
        self.data.mkdir(parents=True)
        self.settings = Settings(
            data_dir=self.data,
            mongodb_uri=None,
            mlflow_tracking_uri=None,
            dagshub_repo_name=None,
            problems_dir=problems,
        )
        self.environment = {
            **clean_environment(scratch),
            "DATA_DIR": str(self.data),
            "PROBLEMS_DIR": str(problems),
        }

    def forget(self) -> None:
        """Remove everything but the documents in MongoDB."""
        for name in ("mlflow", "prefect", "snapshots"):
            shutil.rmtree(self.data / name, ignore_errors=True)

    @contextmanager
    def servers(self) -> Iterator[None]:
        """Keep MongoDB and the Prefect server running; flows in the block use these."""
        with (
            embedded.server(self.settings, "mongodb") as mongodb,
            embedded.server(self.settings, "prefect") as prefect,
        ):
            addresses = {
                "MONGODB_URI": f"mongodb://127.0.0.1:{mongodb}",
                "PREFECT_API_URL": f"http://127.0.0.1:{prefect}/api",
            }
            before, self.environment = self.environment, {**self.environment, **addresses}
            try:
                yield
            finally:
                self.environment = before
        self.wait_for_servers()

    def seed(self, problem: str, file: Path) -> None:
        """Load the documents of a file."""
        self._run("seed", problem, "--file", str(file))

    def retrain(self, problem: str) -> Retrained:
        """Retrain a problem."""
        usage = self._run("retrain", problem)
        output = self._log("retrain").read_text(encoding="utf-8")
        (features,) = re.findall(r"features of the training documents take (\d+\.\d) MB", output)
        return Retrained(usage, *_durations(output), float(features))

    def wait_for_servers(self) -> None:
        """Wait until the embedded servers have ended; they would slow what follows."""
        for lock in self.data.glob("*/running.lock"):
            with lock.open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX)

    def _run(self, flow: str, problem: str, *options: str) -> Usage:
        command = ["flows", flow, problem, *options]
        usage = run_module(command, self.environment, self._log(flow))
        if "PREFECT_API_URL" not in self.environment:
            self.wait_for_servers()
        return usage

    def _log(self, flow: str) -> Path:
        return self.data / f"{flow}.log"


def _durations(output: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds of each step, and of processors, from the table of a retraining."""
    _, _, table = output.rpartition("Durations")
    rows = re.findall(r"^\W*(\w+)\W+(\d+\.\d+)\W+(\d+\.\d+)\W*$", table, re.MULTILINE)
    of_steps = [row for row in rows if row[0] != "all"]
    steps, processor = ({row[0]: float(row[place]) for row in of_steps} for place in (1, 2))
    return steps, processor
