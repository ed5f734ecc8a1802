#!/usr/bin/env bash
# Make a stand-in for python:3.11-slim from Debian's packages, where no image registry is at hand.
#
# It needs root, and debootstrap and buildah. The image is only made when it is not there yet.
set -euo pipefail

IMAGE=${1:-docker.io/library/python:3.11-slim}
if buildah inspect --type image "$IMAGE" >/dev/null 2>&1; then
  exit 0
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv \
  bookworm "$root" >"$root.log" 2>&1 || { tail -20 "$root.log" >&2; exit 1; }
rm -f "$root.log"
# As in the real image: `python` is there, and pip may install beside it.
ln -s python3 "$root/usr/bin/python"
rm -f "$root"/usr/lib/python3.11/EXTERNALLY-MANAGED
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}

container=$(buildah from scratch)
buildah add --quiet "$container" "$root" / >/dev/null
buildah config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin --cmd python3 "$container"
buildah commit --quiet --rm "$container" "$IMAGE" >/dev/null
