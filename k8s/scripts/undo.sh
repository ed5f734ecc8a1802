#!/usr/bin/env bash
# Go back to what ran before, in the cluster and on the branch that Argo CD follows.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
need OVERLAY
tools kubectl
space=perennial-$OVERLAY
before=$(cat "$images/recorded-before" 2>/dev/null || true)
if [ -n "$before" ]; then
  # Argo CD would bring the failed version back.
  git push --quiet --force "${REMOTE:-origin}" "$before:refs/heads/deploy-$OVERLAY"
fi
for name in serving worker exporter; do
  kubectl --namespace "$space" rollout undo "deployment/$name"
done
for name in serving worker exporter; do
  kubectl --namespace "$space" rollout status "deployment/$name" --timeout=300s
done
