#!/usr/bin/env bash
# The local overlay on a real cluster: a model, runs through the worker, an update under load, a rollback,
# nothing left.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
if [ -z "${KUBECONFIG:-}" ]; then
  echo "smoke-k8s is SKIPPED: KUBECONFIG names no cluster."
  exit
fi
tools kubectl curl
space=perennial-local
kube() { kubectl --namespace "$space" "$@"; }
work=$(mktemp -d)
finish() {
  status=$?
  [ $status = 0 ] || { kube get pods >&2; why "$space"; } || true
  kubectl delete namespace "$space" --ignore-not-found --wait --timeout=180s
  rm -rf "$work"
}
trap finish EXIT

.venv/bin/python -m tools.manifests.reviews "$work/reviews.csv"
kubectl apply -f k8s/overlays/local/namespace.yaml
kube create configmap reviews --from-file="$work/reviews.csv" --dry-run=client -o yaml |
  kube apply --server-side -f -
kubectl apply -k k8s/overlays/local
kube wait --for=condition=complete job/first-model --timeout=600s
# On a busy node the first model comes later than a rollout's deadline, which stays missed.
kube wait --for=condition=Available deployment/serving --timeout=180s

# What the schedules start, through the worker, each run in a pod of its own.
for flow in monitor retrain; do
  kube exec deployment/worker --container=worker -- \
    prefect deployment run "$flow/sentiment" --watch --watch-timeout 600
done

# Requests come from within the cluster, through the Service: a forwarded port would stay at one pod.
kube create configmap load --from-file=k8s/scripts/load.py --dry-run=client -o yaml | kube apply -f -
kube apply -f k8s/overlays/local/load/pod.yaml
kube wait --for=condition=Ready pod/load --timeout=60s
kube set env deployment/serving SERVING_LOG_SHARE=0.5
kube rollout status deployment/serving --timeout=180s
kube rollout undo deployment/serving
kube rollout status deployment/serving --timeout=180s

# A wrong password: the new pod says so in one sentence, and the old pods go on answering.
right=$(kube get secret serving -o jsonpath='{.data.MONGODB_URI}')
wrong=$(printf 'mongodb://perennial:wrong@mongodb:27017/?directConnection=true' | base64 -w0)
set_password() { kube patch secret serving --patch "{\"data\": {\"MONGODB_URI\": \"$1\"}}"; }
set_password "$wrong"
kube rollout restart deployment/serving
if kube rollout status deployment/serving --timeout=60s; then
  echo "A rollout with a wrong password must not succeed." >&2
  exit 1
fi
kube get pods --selector=perennial.dev/role=serving \
  -o jsonpath='{.items[*].status.initContainerStatuses[*].lastState.terminated.message}' |
  grep "MongoDB refuses the user or password"
set_password "$right"
kube rollout restart deployment/serving
kube rollout status deployment/serving --timeout=180s
kube exec load -- touch /tmp/end
kube wait --for=jsonpath='{.status.phase}'=Succeeded pod/load --timeout=60s
kube logs load
echo "smoke-k8s passed: retrained by the worker, classified, updated and rolled back, no request failed."
