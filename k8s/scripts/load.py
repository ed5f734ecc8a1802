"""Classify through the Service until /tmp/end appears; fail if a request failed."""

import json
import pathlib
import sys
import time
import urllib.request

BODY = json.dumps({"inputs": ["a warm, funny and touching film"]}).encode()
request = urllib.request.Request(
    "http://serving/classify", BODY, {"Content-Type": "application/json"}
)
answered, failed = 0, 0
while not pathlib.Path("/tmp/end").exists():  # noqa: S108
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            answered += len(json.load(answer)["predictions"])
    except OSError as error:
        failed += 1
        sys.stderr.write(f"{error}\n")
    time.sleep(0.01)
sys.stdout.write(f"{answered} requests answered, {failed} failed\n")
sys.exit(1 if failed or not answered else 0)
