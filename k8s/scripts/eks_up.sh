#!/usr/bin/env bash
# From nothing to a cluster that runs: the account's resources, the cluster, its add-ons, Argo CD.
# It can be run again: what is there is left as it is.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
need AWS_REGION GITHUB_REPOSITORY
tools aws eksctl helm kubectl
account=$(aws sts get-caller-identity --region "$AWS_REGION" --query Account --output text)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

.venv/bin/python -m tools.cloud up

sed -e "s/ACCOUNT/$account/" -e "s/region: .*/region: $AWS_REGION/" k8s/cluster.yaml >"$work/cluster.yaml"
if ! aws eks describe-cluster --name perennial --region "$AWS_REGION" >/dev/null 2>&1; then
  eksctl create cluster --config-file "$work/cluster.yaml"
fi
aws eks update-kubeconfig --name perennial --region "$AWS_REGION"
.venv/bin/python -m tools.cloud identities
vpc=$(aws eks describe-cluster --name perennial --region "$AWS_REGION" \
  --query cluster.resourcesVpcConfig.vpcId --output text)

while read -r release namespace repository chart version; do
  sed -e "s/ REGION$/ $AWS_REGION/" -e "s/ VPC$/ $vpc/" "k8s/addons/$release.yaml" >"$work/$release.yaml"
  helm upgrade --install "$release" "$chart" --repo "$repository" --version "$version" \
    --namespace "$namespace" --create-namespace --wait --timeout 10m \
    --values "$work/$release.yaml"
done < <(grep -v '^#' k8s/addons/charts.txt)

for name in staging production; do
  # Of the overlay its namespace only: who deploys into it may not make it, nor loosen what it admits.
  kubectl apply -k "k8s/overlays/$name" --selector pod-security.kubernetes.io/enforce=restricted
  sed "s/ENVIRONMENT/$name/g" k8s/access.yaml | kubectl apply -f -
done
for file in k8s/argocd/*.yaml; do
  sed "s#github.com/OWNER/perennial#github.com/$GITHUB_REPOSITORY#" "$file" | kubectl apply -f -
done
echo "The cluster is there. Next: the secrets and the first image, see docs/production.md."
