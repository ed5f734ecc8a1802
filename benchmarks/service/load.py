"""Load for a service: wrk sends texts as fast as the answers come."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

# wrk runs this for each of its threads. The requests are made before the load begins.
_SCRIPT = """
local requests, next_one = {}, 0
init = function(args)
  local headers = {["Content-Type"] = "application/json"}
  for line in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, headers, line)
  end
end
request = function()
  next_one = next_one %% #requests + 1
  return requests[next_one]
end
done = function(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %%d, "microseconds": %%d, "refused": %%d, "broken": %%d, '
      .. '"p50": %%f, "p99": %%f}\\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)
  ))
end
""".replace("%%", "%")


@dataclass(frozen=True)
class Measured:
    """What a load measured: requests per second, and latencies in milliseconds."""

    per_second: float
    p50: float
    p99: float


def require_wrk() -> str:
    """Return where wrk is.

    Raises
    ------
    SystemExit
        If it is not installed.
    """
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("wrk is not installed; Debian, Ubuntu and Homebrew have it by that name.")
    return program


def write_bodies(path: Path, bodies: Sequence[object]) -> Path:
    """Write the bodies of requests, one JSON per line."""
    path.write_text("".join(json.dumps(body) + "\n" for body in bodies), encoding="utf-8")
    return path


def load(url: str, bodies: Path, *, connections: int, seconds: float) -> Measured:
    """Send the bodies over some connections for some seconds.

    Raises
    ------
    RuntimeError
        If an answer is not 2xx or does not come.
    """
    script = bodies.with_suffix(".lua")
    script.write_text(_SCRIPT, encoding="utf-8")
    path = urlsplit(url)
    command = [
        *(require_wrk(), "--threads", "1", "--connections", str(connections)),
        *("--duration", f"{max(1, round(seconds))}s", "--timeout", "10s", "--script", str(script)),
        *(url, "--", str(bodies)),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if found["refused"] or found["broken"] or not found["requests"]:
        raise RuntimeError(f"{path.netloc}{path.path} under load: {found}")
    per_second = found["requests"] / (found["microseconds"] / 1e6)
    return Measured(per_second, found["p50"] / 1000, found["p99"] / 1000)
