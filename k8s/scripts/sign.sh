#!/usr/bin/env bash
# Sign the pushed digests with the identity of this workflow: no key is kept anywhere.
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
need GITHUB_REPOSITORY
tools cosign
for name in serving worker; do
  cosign sign --yes "$(cat "$images/$name")"
  cosign verify "$(cat "$images/$name")" \
    --certificate-oidc-issuer https://token.actions.githubusercontent.com \
    --certificate-identity-regexp "^https://github.com/$GITHUB_REPOSITORY/" >/dev/null
done
