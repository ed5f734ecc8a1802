#!/usr/bin/env bash
# Build both images and push them to ECR, with SBOM and provenance, for their digests.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
need REGISTRY AWS_REGION
tools aws docker
base=${BASE:-docker.io/library/python:3.11-slim}
revision=$(git rev-parse HEAD)
# A tag of ECR never moves: who builds a commit again, on a base that was mended, needs another one.
tag=$revision-$(date --utc +%Y%m%dT%H%M%SZ)

aws ecr get-login-password --region "$AWS_REGION" |
  docker login --username AWS --password-stdin "$REGISTRY"
# Both images stand on one base, and their labels say which.
base="${base%@*}@$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$base")"
mkdir -p "$images"
for name in serving worker; do
  address="$REGISTRY/perennial-$name"
  docker buildx build --target "$name" --build-arg "BASE=$base" --build-arg "REVISION=$revision" \
    --build-arg "VERSION=${RELEASE:-unknown}" --build-arg "EXTRAS=${EXTRAS:-}" \
    --sbom=true --provenance=mode=max --push --tag "$address:$tag" \
    --metadata-file "$images/$name.json" .
  digest=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["containerimage.digest"])' \
    "$images/$name.json")
  echo "$address@$digest" >"$images/$name"
done
