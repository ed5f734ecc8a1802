"""Try one candidate in a process of its own, which can be stopped in the middle of a fit.

python -m tasks.experiment.trial FOLDER CANDIDATE

It prints one line of JSON per setting, `SettingResult`, as soon as it is known.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event, Timer

from pydantic import TypeAdapter

from perennial.local.python import python_environment
from perennial.settings import get_settings
from perennial.training.cross_validation import CrossValidation, SettingResult
from tasks.experiment.workspace import Bench

# As many candidates are tried at once as there are processors; each has one to itself.
_ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
_LINE = TypeAdapter(SettingResult)


class OutOfTimeError(Exception):
    """A candidate was stopped since its time was over."""


class TrialError(Exception):
    """A candidate failed; the message is the last line of what its process said."""


def tried(bench: Bench, name: str, seconds: float) -> Iterator[SettingResult]:
    """Yield the settings of a candidate as they are tried, for so many seconds at most.

    Raises
    ------
    OutOfTimeError
        After the time, counted from the start of the process; what it was fitting is lost.
    TrialError
        If the process fails.
    """
    over = Event()
    log = bench.folder / f"{name}.log"
    with log.open("w+b") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(bench.folder), name],
            env={**python_environment(get_settings()), **_ONE_THREAD},
            stdout=subprocess.PIPE,
            stderr=errors,
        )

        def stop() -> None:
            over.set()
            process.kill()

        timer = Timer(seconds, stop)
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                # A line that the end cut short has no line break.
                if line.endswith(b"\n"):
                    yield _LINE.validate_json(line)
            failed = process.wait() != 0
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
    if failed and over.is_set():
        raise OutOfTimeError
    if failed:
        # The last line that is not indented says what was raised; others only explain it.
        said = [line for line in log.read_text(errors="replace").splitlines() if line[:1].strip()]
        raise TrialError(said[-1] if said else f"its process ended with {process.returncode}")


def _main(folder: str, name: str) -> None:
    bench = Bench(Path(folder))
    validation = CrossValidation(
        bench.problem(), name, bench.counts(name), bench.labels(), bench.folds()
    )
    for found in validation.results():
        sys.stdout.buffer.write(_LINE.dump_json(found) + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
