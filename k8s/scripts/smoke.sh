#!/usr/bin/env bash
# Classify once through the address that clients use: https://$HOST, or $ADDRESS. What is asked is
# $SMOKE_REQUEST, the body of a request; by default a text for the model `sentiment`.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
address=${ADDRESS:-https://${HOST:?set HOST or ADDRESS}}
request=${SMOKE_REQUEST:-'{"model": "sentiment", "inputs": ["a warm, funny and touching film"]}'}
header=()
[ -z "${API_KEY:-}" ] || header=(--header "Authorization: Bearer $API_KEY")
answer=$(curl --silent --show-error --fail --max-time 10 --retry "${SMOKE_TRIES:-12}" --retry-delay 5 \
  --retry-all-errors --header "Content-Type: application/json" "${header[@]}" \
  --data "$request" "$address/classify")
python3 -c '
import json, sys
for prediction in json.loads(sys.argv[1])["predictions"]:
    print(prediction["label"], "by version", prediction["version"])' "$answer"
