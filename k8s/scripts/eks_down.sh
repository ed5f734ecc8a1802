#!/usr/bin/env bash
# Remove the cluster and all that `make eks-up` made, the snapshots too, and say what is gone.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
need AWS_REGION GITHUB_REPOSITORY
tools aws eksctl kubectl
if [ "${YES:-}" != perennial ]; then
  echo "This removes the cluster, the images, the secrets and all snapshots. Say YES=perennial." >&2
  exit 1
fi

if aws eks describe-cluster --name perennial --region "$AWS_REGION" >/dev/null 2>&1; then
  aws eks update-kubeconfig --name perennial --region "$AWS_REGION"
  # Load balancers and volumes outlive a cluster that is deleted under them.
  kubectl delete applications.argoproj.io --all --namespace argocd --ignore-not-found --wait=false || true
  for space in perennial-staging perennial-production; do
    kubectl delete ingress --all --namespace "$space" --ignore-not-found --timeout=300s
    kubectl delete namespace "$space" --ignore-not-found --timeout=300s
    echo "removed namespace $space and its load balancer"
  done
  eksctl delete cluster --name perennial --region "$AWS_REGION" --wait --disable-nodegroup-eviction
  echo "removed cluster perennial, its nodes and its network"
fi
.venv/bin/python -m tools.cloud down
for group in $(aws logs describe-log-groups --region "$AWS_REGION" \
  --log-group-name-prefix /aws/eks/perennial/ --query 'logGroups[].logGroupName' --output text); do
  aws logs delete-log-group --region "$AWS_REGION" --log-group-name "$group"
  echo "removed log group $group"
done

left=$(aws resourcegroupstaggingapi get-resources --region "$AWS_REGION" \
  --tag-filters Key=project,Values=perennial --query 'ResourceTagMappingList[].ResourceARN' --output text)
if [ -n "$left" ]; then
  echo "Still there, tagged project=perennial (what AWS is still deleting goes by itself):" >&2
  tr '\t' '\n' <<<"$left" >&2
  exit 1
fi
echo "Nothing tagged project=perennial is left in $AWS_REGION."
