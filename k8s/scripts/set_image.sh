#!/usr/bin/env bash
# Write the digests of the pushed images into an overlay.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
need OVERLAY
if [ -n "${IMAGES:-}" ]; then
  # From the job that built them.
  mkdir -p "$images"
  read -r serving worker <<<"$IMAGES"
  echo "$serving" >"$images/serving"
  echo "$worker" >"$images/worker"
fi
file=k8s/overlays/$OVERLAY/kustomization.yaml
for name in serving worker; do
  reference=$(cat "$images/$name")
  [[ $reference =~ ^[^@[:space:]]+@sha256:[0-9a-f]{64}$ ]] ||
    { echo "$images/$name holds '$reference', which is no image with a digest." >&2; exit 1; }
  sed -i "/name: perennial-$name\$/,/digest:/{
    s#newName: .*#newName: ${reference%@*}#
    s#digest: .*#digest: ${reference#*@}#
  }" "$file"
done
kubectl kustomize "k8s/overlays/$OVERLAY" | grep -F "$(cat "$images/serving")" >/dev/null
