#!/usr/bin/env bash
# smoke_k8s.sh on a cluster of its own, of containers of Docker; nothing of it is left.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
tools docker kind
name=perennial-smoke
work=$(mktemp -d)
finish() {
  kind delete cluster --name "$name"
  rm -rf "$work"
}
trap finish EXIT

for image in serving worker; do
  docker build --target "$image" --tag "localhost/perennial-$image:local" .
done
kind create cluster --name "$name" --wait 180s --kubeconfig "$work/kubeconfig"
kind load docker-image --name "$name" localhost/perennial-serving:local localhost/perennial-worker:local
KUBECONFIG=$work/kubeconfig k8s/scripts/smoke_k8s.sh
