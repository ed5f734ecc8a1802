#!/usr/bin/env bash
# Commit the overlay to the branch deploy-$OVERLAY, which Argo CD follows, and keep what it was.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
need OVERLAY
remote=${REMOTE:-origin}
branch=deploy-$OVERLAY
mkdir -p "$images"
before=$(git ls-remote "$remote" "refs/heads/$branch" | cut -f1)
# `make undo` needs it, and a checkout of one commit, as in a workflow, does not have it.
if [ -n "$before" ] && ! git cat-file -e "$before^{commit}" 2>/dev/null; then
  git fetch --quiet "$remote" "refs/heads/$branch"
fi
echo "$before" >"$images/recorded-before"
git -c user.name=perennial -c user.email=perennial@users.noreply.github.com \
  commit --quiet --message "Deploy $(git rev-parse --short HEAD) to $OVERLAY" -- "k8s/overlays/$OVERLAY" ||
  git diff --quiet HEAD -- "k8s/overlays/$OVERLAY"
git push --quiet --force "$remote" "HEAD:refs/heads/$branch"
