#!/usr/bin/env bash
# Print the flags for `buildah bud` on a machine whose only sources are package registries.
#
# pip takes the certificates of this machine, which may be behind a proxy of its own.
set -euo pipefail
folder=$(cd "$(dirname "$0")" && pwd)
printf '%s ' --pull=never --network host \
  --volume /etc/ssl/certs:/etc/ssl/certs:ro \
  --volume "$folder/pip.conf:/etc/pip.conf:ro"
