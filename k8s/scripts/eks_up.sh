#!/usr/bin/env bash
# From nothing to a cluster that runs: the account's resources, the cluster, its add-ons, Argo CD.
# It can be run again: what is there is left as it is.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
need AWS_REGION GITHUB_REPOSITORY
tools aws eksctl helm kubectl
account=$(aws sts get-caller-identity --query Account --output text)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

.venv/bin/python -m tools.cloud up

sed -e "s/ACCOUNT/$account/" -e "s/region: .*/region: $AWS_REGION/" k8s/cluster.yaml >"$work/cluster.yaml"
if ! aws eks describe-cluster --name perennial --region "$AWS_REGION" >/dev/null 2>&1; then
  eksctl create cluster --config-file "$work/cluster.yaml"
fi
aws eks update-kubeconfig --name perennial --region "$AWS_REGION"
.venv/bin/python -m tools.cloud identities

while read -r release namespace repository chart version; do
  helm upgrade --install "$release" "$chart" --repo "$repository" --version "$version" \
    --namespace "$namespace" --create-namespace --wait --timeout 10m \
    --values "k8s/addons/$release.yaml"
done < <(grep -v '^#' k8s/addons/charts.txt)

sed "s#github.com/OWNER/perennial#github.com/$GITHUB_REPOSITORY#" k8s/argocd/*.yaml | kubectl apply -f -
echo "The cluster is there. Next: the secrets and the first image, see docs/production.md."
