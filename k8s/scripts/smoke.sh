#!/usr/bin/env bash
# Classify one text through the address that clients use: https://$HOST, or $ADDRESS.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
address=${ADDRESS:-https://${HOST:?set HOST or ADDRESS}}
header=()
[ -z "${API_KEY:-}" ] || header=(--header "Authorization: Bearer $API_KEY")
answer=$(curl --silent --show-error --fail --max-time 10 --retry 12 --retry-delay 5 --retry-all-errors \
  --header "Content-Type: application/json" "${header[@]}" \
  --data '{"model": "sentiment", "inputs": ["a warm, funny and touching film"]}' "$address/classify")
python3 -c '
import json, sys
prediction, = json.loads(sys.argv[1])["predictions"]
print(prediction["label"], "by version", prediction["version"])' "$answer"
