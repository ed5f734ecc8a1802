#!/usr/bin/env bash
# Do RUN, such as "experiment sentiment", with workers of Dask in the environment OVERLAY; nothing of them is left.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
need OVERLAY RUN
tools kubectl
space=perennial-$OVERLAY
kube() { kubectl --namespace "$space" "$@"; }
state() { kube get daskjob engine -o jsonpath='{.status.jobStatus}'; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
image=$(kube get deployment worker -o jsonpath='{.spec.template.spec.containers[0].image}')
# The run has the image of all runs.
sed -e "s|image: perennial-worker|image: $image|" -e "s|RUN|$RUN|" k8s/engine/run.yaml >"$work/run.yaml"
# While another run is there this is refused, and nothing of that one is removed.
kube create -f "$work/run.yaml"
finish() {
  status=$?
  [ $status = 0 ] || why "$space"
  kube delete daskjob/engine daskautoscaler/engine --ignore-not-found --timeout=180s
  rm -rf "$work"
}
trap finish EXIT

# The operator makes it; how many workers there are is asked of it from then on.
kube wait --for=create daskcluster/engine --timeout=120s
kube apply -f k8s/engine/workers.yaml
until [[ $(state) =~ ^(Running|Successful|Failed)$ ]]; do sleep 5; done
kube logs --follow engine-runner --container run || true
until [[ $(state) =~ ^(Successful|Failed)$ ]]; do sleep 5; done
[ "$(state)" = Successful ]
