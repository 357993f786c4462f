#!/bin/sh
# A whole promotion, for real: builds two releases of a small application as OCI layouts and takes them from dev to prod.
# No registry, no daemon, no network. Each command is printed as you would type it in the folder where it runs.
#
#   demo.sh [FOLDER]    with tagflow and python3 on the PATH; `make demo` sees to that. FOLDER (./demo) is made anew.
set -eu
exec </dev/null # at a terminal, promote and rollback ask before they move anything; here nobody is asked

here=$(cd "$(dirname "$0")" && pwd)
work=${1:-demo}

say() {
  if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then printf '\n\033[1m# %s\033[0m\n' "$*"; else printf '\n# %s\n' "$*"; fi
}

show() {
  printf '\n$'
  for word in "$@"; do
    case $word in
    *[!A-Za-z0-9_./:=-]*) printf ' "%s"' "$word" ;;
    *) printf ' %s' "$word" ;;
    esac
  done
  printf '\n'
}

run() {
  show "$@"
  "$@"
}

refused() {
  show "$@"
  status=0
  "$@" 2>&1 || status=$?
  [ "$status" -eq 3 ] # what the policy refuses
}

# Only what an earlier demo left is removed, never a folder of yours.
if [ -e "$work" ] && [ ! -e "$work/.made-by-demo" ]; then
  echo "$work is there already, and no earlier demo made it: move it away, or name another folder." >&2
  exit 2
fi
rm -rf "$work"
mkdir -p "$work"
touch "$work/.made-by-demo"
cp "$here/build.py" "$here/../../promotion.yaml" "$work/"
cd "$work"
unset TAGFLOW_POLICY

say "Two releases of an application: two images, each for two platforms"
run python3 build.py v1.0 build
run python3 build.py v1.1 build

say "v1.0 comes in: into dev, the first environment of promotion.yaml"
run tagflow push v1.0 frontend=oci:build/frontend:v1.0 backend=oci:build/backend:v1.0

say "... and goes through test and staging to prod. Not one byte of it changes on the way"
run tagflow promote v1.0 --to test
run tagflow promote v1.0 --to staging
run tagflow promote v1.0 --to prod --reason "the first release"

say "v1.1 follows"
run tagflow push v1.1 frontend=oci:build/frontend:v1.1 backend=oci:build/backend:v1.1
run tagflow promote v1.1 --to test

say "From test straight to prod? The policy says no, and nothing is written"
refused tagflow promote v1.1 --to prod

say "So staging first. A dry run shows what prod would get"
run tagflow promote v1.1 --to staging
run tagflow promote v1.1 --to prod --dry-run
run tagflow promote v1.1 --to prod --reason "faster start page"
run tagflow status

say "v1.1 misbehaves. Back, in one command"
run tagflow rollback prod --reason "the start page is blank"
run tagflow status prod
run tagflow history prod

say "Your turn. Type next:"
cat <<NEXT

  cd $work
  export PATH="$(dirname "$(command -v tagflow)"):\$PATH"

  tagflow promote v1.1 --to prod          # refused: what was rolled back is held ...
  tagflow promote v1.1 --to prod --override hold --reason "a setting was wrong, not v1.1"
  tagflow status v1.1                     # where does v1.1 run, since when, by whom?
  tagflow verify                          # does every name stand where the history says?
  tagflow pull prod && docker run --rm frontend:prod    # where there is a Docker Engine
  tagflow --help

NEXT
