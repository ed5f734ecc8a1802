"""The whole system on this machine: ``perennial up`` (``make up``) starts it, ``down`` ends it.

A supervisor starts the processes of `deployments.processes`, starts one again that ended, and keeps
the embedded MongoDB running, which the worker and the service share. It is 40 lines and no library
because each process has to write into its log without it (Circus, which BentoML brings, reads their
pipes), and because whoever kills it must find all the others by their pid files.
"""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import psutil
from rich.console import Console

from deployments.cut_off import end_cut_off
from deployments.logs import rotate
from deployments.processes import Process, addresses, prefect_api, processes
from perennial.config.errors import join_names
from perennial.errors import OutsideError
from perennial.libraries import configured_prefect_api
from perennial.local import embedded
from perennial.local.python import python_environment
from perennial.registry.artifact_store import embedded_database, make_relative
from perennial.settings import (
    OperationSettings,
    Settings,
    get_operation_settings,
    get_serving_settings,
    get_settings,
)

_START_SECONDS = 300.0
_GRACE_SECONDS = 20.0
_LOOK_SECONDS = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_LOG_LINES = 15


def up(settings: Settings, operation: OperationSettings, console: Console) -> None:
    """Start what does not run yet, wait until all of it is healthy, and say where it is.

    Raises
    ------
    OutsideError
        If a port is taken, a process does not become healthy, or the deployments do not fit.
    """
    table = processes(settings, operation, get_serving_settings())
    home = _home(settings)
    began = None
    if not _is_supervised(home):
        _end_leftovers(home)
        _require_free_ports(table)
        began = datetime.now(UTC)
        _start_supervisor(home, settings)
    for process in table:
        if process.after:
            continue
        _wait_for(process, home)
    if began is not None and configured_prefect_api() is None:
        end_cut_off(prefect_api(operation), began)
    _apply(settings, operation)
    for process in table:
        _wait_for(process, home)
        if process.address:
            console.print(f"{process.name:<9} {process.address}", highlight=False)
    if settings.mongodb_uri is None:
        with embedded.server(settings, "mongodb") as port:
            console.print(
                f"mongodb   mongodb://127.0.0.1:{port}/?directConnection=true", highlight=False
            )
    console.print(f"logs      {home}/*.log; `perennial down` ends all of it", highlight=False)


def _require_free_ports(table: Sequence[Process]) -> None:
    taken = [process for process in table if process.is_port_taken]
    if not taken:
        return
    named = join_names(
        f"port {process.port[0]}, where {process.name} would listen ({process.port[1]})"
        for process in taken
        if process.port is not None
    )
    raise OutsideError(
        f"Other programs listen on {named}; end them, or set other ports by these settings."
    )


def down(settings: Settings, console: Console) -> None:
    """End everything that `up` started, and wait until it is gone.

    Raises
    ------
    OutsideError
        If something does not end.
    """
    home = _home(settings)
    if _is_supervised(home) and (pid := _read_pid(home / "supervisor.pid")):
        pid.terminate()
        if not _wait(lambda: not _is_supervised(home), _START_SECONDS):
            pid.kill()
    _end_leftovers(home)
    # Only its last user has ended: it needs a moment to write everything to disk.
    if not _wait(lambda: not embedded.is_running(settings, "mongodb"), _GRACE_SECONDS):
        raise OutsideError(
            f"The embedded MongoDB in {settings.data_dir} still runs: another program uses it."
        )
    console.print("Nothing of `make up` runs any more.")


def is_up(settings: Settings) -> bool:
    """Return whether the processes of `up` are kept running."""
    return _is_supervised(_home(settings))


def supervise(settings: Settings, operation: OperationSettings) -> None:
    """Keep all processes running until SIGTERM comes, then end them."""
    home, stop = _home(settings), _Stop()
    with _supervisor_lock(home), ExitStack() as stack:
        (home / "supervisor.pid").write_text(_identity(psutil.Process()))
        if settings.mongodb_uri is None:
            stack.enter_context(embedded.server(settings, "mongodb"))
        # MLflow's server takes the addresses as they are.
        make_relative(embedded_database(settings))
        table = processes(settings, operation, get_serving_settings())
        children = {process.name: _Child(process, home, settings) for process in table}
        stack.callback(_end_all, list(children.values()))
        while not stop.wanted:
            for child in children.values():
                if child.is_due() and all(
                    children[name].process.is_healthy() for name in child.process.after
                ):
                    child.start()
                rotate(child.log)
            time.sleep(_LOOK_SECONDS)


class _Stop:
    """Notices that the supervisor is asked to end."""

    def __init__(self) -> None:
        self.wanted = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._notice)

    def _notice(self, *_: object) -> None:
        self.wanted = True


class _Child:
    """A process that the supervisor keeps running."""

    def __init__(self, process: Process, home: Path, settings: Settings) -> None:
        self.process, self._settings = process, settings
        self.log, self.pid_file = _log(home, process), home / f"{process.name}.pid"
        self._running: subprocess.Popen[bytes] | None = None
        self._started = self._pause = 0.0

    def is_due(self) -> bool:
        """Return whether it does not run, and its pause after an early end is over."""
        if self._running is not None and self._running.poll() is None:
            return False
        return time.monotonic() >= self._started + self._pause

    def start(self) -> None:
        """Start it, after ever longer pauses when it keeps ending."""
        if self._running is not None:
            print(  # noqa: T201 - into the log of the supervisor
                f"{self.process.name} ended with status {self._running.returncode}; starting again",
                flush=True,
            )
            # What it has started itself may still run, and hold its port.
            _end([self.pid_file], 0.0)
            self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                self.process.command,
                cwd=self._settings.project_dir,
                env={
                    **python_environment(self._settings),
                    **self.process.environment,
                    embedded.STARTED_BY: str(self.pid_file),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started = time.monotonic()
        self.pid_file.write_text(_identity(psutil.Process(self._running.pid)))

    def reap(self) -> None:
        """Take note of its end."""
        if self._running is not None:
            self._running.wait()


def _end_all(children: Sequence[_Child]) -> None:
    _end([child.pid_file for child in children], _GRACE_SECONDS)
    for child in children:
        child.reap()


def _end_leftovers(home: Path) -> None:
    """End what a supervisor that was killed has left behind."""
    _end(sorted(home.glob("*.pid")), _GRACE_SECONDS)


def _end(pid_files: Sequence[Path], grace: float) -> None:
    """End programs with all processes they have started: first politely, then for good.

    The leader is asked first: many tell their children themselves, and some, MLflow's server among
    them, wait forever for a child that somebody else has ended.
    """
    leaders = [process for file in pid_files if (process := _read_pid(file))]
    for step in (psutil.Process.terminate, psutil.Process.kill):
        _signal(leaders, step, grace)
        _signal([member for file in pid_files for member in _members(file)], step, grace)
    for file in pid_files:
        file.unlink(missing_ok=True)


def _signal(
    processes: Sequence[psutil.Process], step: Callable[[psutil.Process], None], grace: float
) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            step(process)
    psutil.wait_procs(processes, timeout=grace)


def _members(pid_file: Path) -> list[psutil.Process]:
    """Return what runs of a program that a pid file names; its leader may be gone.

    Not every process stays in the session of its leader: a worker gives each run one of its own.
    All of them inherit the environment.
    """
    try:
        since = float(pid_file.read_text().split()[1])
    except (FileNotFoundError, ValueError, IndexError):
        return []
    members = []
    for process in psutil.process_iter(["create_time"]):
        with suppress(psutil.Error):
            # A number is given anew when its process is gone: older processes are not ours.
            if process.info["create_time"] >= since and _is_marked(process, pid_file):
                members.append(process)
    return members


def _is_marked(process: psutil.Process, pid_file: Path) -> bool:
    return process.environ().get(embedded.STARTED_BY) == str(pid_file)


def _identity(process: psutil.Process) -> str:
    return f"{process.pid} {process.create_time()}"


def _read_pid(file: Path) -> psutil.Process | None:
    with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
        pid, since = file.read_text().split()
        process = psutil.Process(int(pid))
        return process if str(process.create_time()) == since else None
    return None


def _home(settings: Settings) -> Path:
    home = settings.data_dir.absolute() / "local"
    home.mkdir(parents=True, exist_ok=True)
    (settings.data_dir / "mlflow").mkdir(exist_ok=True)
    return home


def _log(home: Path, process: Process) -> Path:
    return home / f"{process.name}.log"


@contextmanager
def _supervisor_lock(home: Path) -> Iterator[None]:
    with (home / "supervisor.lock").open("a") as lock:
        if not _try_lock(lock):
            # Two `make up` at once: the other one is the supervisor.
            raise SystemExit(0)
        yield


def _is_supervised(home: Path) -> bool:
    with (home / "supervisor.lock").open("a") as lock:
        return not _try_lock(lock)


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _start_supervisor(home: Path, settings: Settings) -> None:
    with (home / "supervisor.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "deployments.local", "supervise"],
            cwd=settings.project_dir,
            env=python_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    if not _wait(lambda: _is_supervised(home), _START_SECONDS):
        raise OutsideError(f"The supervisor did not start; see {home / 'supervisor.log'}.")


def _wait_for(process: Process, home: Path) -> None:
    def is_over() -> bool:
        return process.is_healthy() or not _is_supervised(home)

    _wait(is_over, _START_SECONDS)
    if not process.is_healthy():
        last = _log(home, process)
        lines = last.read_text(errors="replace").splitlines()[-_LOG_LINES:] if last.exists() else []
        said = "\n".join(lines)
        raise OutsideError(
            f"{process.name} did not become healthy within {_START_SECONDS:.0f} s; see {last} and "
            f"{home / 'supervisor.log'}.\n{said}"
        )


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS / 5)
    return True


def _apply(settings: Settings, operation: OperationSettings) -> None:
    """Give the server its deployments; in a process of its own, which may import the flows."""
    done = subprocess.run(
        [sys.executable, "-m", "deployments.apply"],
        cwd=settings.project_dir,
        env={**python_environment(settings), **addresses(settings, operation)},
        check=False,
    )
    if done.returncode:
        raise OutsideError("The deployments could not be applied, see above.")


def main(arguments: Sequence[str]) -> None:
    """Run one of the commands; a failure that people mend is one sentence."""
    settings, operation, console = get_settings(), get_operation_settings(), Console()
    commands = {
        "up": lambda: up(settings, operation, console),
        "down": lambda: down(settings, console),
        "supervise": lambda: supervise(settings, operation),
    }
    if len(arguments) != 1 or arguments[0] not in commands:
        sys.exit("usage: python -m deployments.local {up,down}")
    try:
        commands[arguments[0]]()
    except OutsideError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
