#!/bin/sh
# Takes a release through environments, and stops where the policy says no. For any CI system that has a shell.
#
#   promote.sh VERSION ENV…    exits as tagflow does: 3 is a no of the policy, 6 may be tried again
set -eu

version=${1:?"usage: promote.sh VERSION ENV…"}
: "${2:?"usage: promote.sh VERSION ENV…"}"
shift

# A registry that fails now and then is asked again; nothing else is.
again() {
  tries=3
  while :; do
    status=0
    "$@" || status=$?
    tries=$((tries - 1))
    if [ "$status" -ne 6 ] || [ "$tries" -eq 0 ]; then
      return "$status"
    fi
    sleep "${PAUSE:-10}"
  done
}

for environment in "$@"; do
  again tagflow promote "$version" --to "$environment" --reason "${REASON:-}"
done
