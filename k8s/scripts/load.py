"""Classify through the Service until /tmp/end appears; fail if a request failed.

A pod may be started before its node lets it reach anything: requests count from the first answer,
or from half a minute on.
"""

import json
import pathlib
import sys
import time
import urllib.request

_PATIENCE_SECONDS = 30.0
BODY = json.dumps({"inputs": ["a warm, funny and touching film"]}).encode()
request = urllib.request.Request(
    "http://serving/classify", BODY, {"Content-Type": "application/json"}
)
answered, failed, began = 0, 0, time.monotonic()
while not pathlib.Path("/tmp/end").exists():  # noqa: S108
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            answered += len(json.load(answer)["predictions"])
    except OSError as error:
        if answered or time.monotonic() - began > _PATIENCE_SECONDS:
            failed += 1
            sys.stderr.write(f"{error}\n")
    time.sleep(0.01)
sys.stdout.write(f"{answered} requests answered, {failed} failed\n")
sys.exit(1 if failed or not answered else 0)
