#!/bin/sh
# Builds a release of the agent for this machine and the given Python, the same bytes for the same sources:
# make release. Usage: configs/deb/release.sh FOLDER. The environment is that of tree.sh.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$root/configs/deb/tree.sh" "$work/lib"
name=$(sed 's/.*"machine": "\(.*\)", "python": "\(.*\)", "state".*"version": "\(.*\)"}/headland-agent-\3-\1-python\2.tar/' \
  "$work/lib/release.json")
"$root/.venv/bin/headland" agent pack "$work/lib" --file "$1/$name"
