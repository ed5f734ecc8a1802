# shellcheck shell=bash
# What the scripts share: they run from the top of the repository, and name what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck disable=SC2034  # the scripts use it
images=.data/images
# For who has no kubectl: the one of the checks.
PATH=$PATH:$PWD/.venv/bin

need() {
  for name in "$@"; do
    [ -n "${!name:-}" ] || { echo "$0 needs $name in the environment." >&2; exit 1; }
  done
}

tools() {
  for name in "$@"; do
    command -v "$name" >/dev/null || { echo "$0 needs the command $name." >&2; exit 1; }
  done
}

# Why pods of a namespace are not ready, and its last warnings.
why() {
  kubectl --namespace "$1" get pods,events -o json | python3 k8s/scripts/why.py >&2 || true
}
