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
  # Everything goes back: settings, rights and rules too, and not the pods alone.
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  git archive "$before" k8s | tar --extract --directory "$work"
  kubectl apply -k "$work/k8s/overlays/$OVERLAY"
else
  for name in serving worker exporter; do
    kubectl --namespace "$space" rollout undo "deployment/$name" ||
      echo "Nothing ran before as deployment/$name." >&2
  done
fi
for name in serving worker exporter; do
  kubectl --namespace "$space" rollout status "deployment/$name" --timeout=300s
done
