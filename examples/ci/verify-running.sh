#!/bin/sh
# Says what runs in a Kubernetes namespace and is not what an environment should run; nothing where all is well, so that
# cron sends a mail only then:
#
#   MAILTO=ops@example.com
#   */15 * * * *  cd /srv/shop && /srv/shop/verify-running.sh prod shop
#
# A rollout that is under way shows what ran before; it is looked at once more after PAUSE seconds.
set -eu

environment=${1:?"usage: verify-running.sh ENV NAMESPACE"}
namespace=${2:?"usage: verify-running.sh ENV NAMESPACE"}
pods=$(mktemp) told=$(mktemp)
trap 'rm -f "$pods" "$told"' EXIT

check() {
  kubectl get pods --namespace "$namespace" --output json >"$pods" || return
  tagflow verify "$environment" --running "$pods" >"$told" 2>&1
}

status=0
check || status=$?
if [ "$status" -eq 5 ]; then
  sleep "${PAUSE:-120}"
  status=0
  check || status=$?
fi
if [ "$status" -ne 0 ]; then
  cat "$told"
fi
exit "$status"
