#!/bin/sh
# Puts what an environment runs into deployment files, and opens a pull request for it, or renews the one that is open;
# closes it where the files say it already, as after a rollback: who merged it would deploy what ran before.
# Needs git with the right to push, and gh with a token (GH_TOKEN).
#
#   pin-pull-request.sh ENV FILE…    exits as tagflow does; 0 as well where the files say it already
set -eu

environment=${1:?"usage: pin-pull-request.sh ENV FILE…"}
shift
base=$(git branch --show-current)
if [ -z "$base" ]; then
  echo "error: no branch is checked out, so no pull request can be for one (actions/checkout takes \`ref: main\`)" >&2
  exit 2
fi
for file in "$@"; do
  git diff --quiet HEAD -- "$file" || {
    echo "error: $file has changes that are not committed, and they would go along" >&2
    exit 2
  }
done
branch=tagflow/pin-$environment
told=$(mktemp)
trap 'rm -f "$told"' EXIT

open_request() {
  gh pr list --head "$branch" --base "$base" --json number --jq '.[].number'
}

tagflow pin "$environment" "$@" --output json >"$told"
message=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["result"]["message"])' <"$told")
if [ -z "$message" ]; then
  echo "The files say what $environment runs."
  open=$(open_request)
  if [ -n "$open" ]; then
    gh pr close "$branch" --comment "$base says what $environment runs."
  fi
  exit 0
fi

status=0
git switch --quiet --force-create "$branch"
git add -- "$@"
printf '%s\n' "$message" | git commit --quiet --file=- -- "$@" || status=$?
git switch --quiet "$base" # whatever fails from here on, the next run begins where this one did
[ "$status" -eq 0 ] || exit "$status"
git push --quiet --force origin "$branch"

title=$(printf '%s\n' "$message" | head -n 1)
body=$(printf '%s\n' "$message" | tail -n +3)
open=$(open_request)
if [ -n "$open" ]; then
  gh pr edit "$branch" --title "$title" --body "$body"
else
  gh pr create --head "$branch" --base "$base" --title "$title" --body "$body"
fi
