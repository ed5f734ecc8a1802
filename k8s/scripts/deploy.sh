#!/usr/bin/env bash
# Apply an overlay, wait for the rollout, try it; whatever fails is taken back before this fails.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
need OVERLAY
tools kubectl
space=perennial-$OVERLAY

attempt() {
  kubectl apply -k "k8s/overlays/$OVERLAY" || return
  for name in serving worker exporter; do
    kubectl --namespace "$space" rollout status "deployment/$name" --timeout=300s || return
  done
  [ -z "${HOST:-}" ] || k8s/scripts/smoke.sh
}

if ! attempt; then
  echo "The deployment to $OVERLAY failed and is taken back." >&2
  why "$space"
  k8s/scripts/undo.sh
  exit 1
fi
echo "Deployed to $OVERLAY."
