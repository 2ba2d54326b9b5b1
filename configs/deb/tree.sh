#!/bin/sh
# The agent's tree for this machine and the given Python: one folder for sys.path, with the package `agent`, what it
# needs of ours, and its libraries; the same files for the same sources. The Debian package and releases of the
# agent have the same tree. Usage: configs/deb/tree.sh NEW_FOLDER
# DEB_PYTHON: the Python; AGENT_VERSION: another version than the project's; AGENT_LIBS: a folder in which the
# libraries are kept for the next time.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
lib=$1
python=${DEB_PYTHON:-/usr/bin/python3}
uv=${UV:-$root/.venv/bin/uv}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

version=${AGENT_VERSION:-$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/pyproject.toml")}
minor=$("$python" -c 'import sys; print("3.%d" % sys.version_info.minor)')
machine=$(uname -m)

# What a device installs, at the locked versions and digests; wheels alone, so nothing of others runs here.
if [ -n "${AGENT_LIBS:-}" ]; then
  wanted=$(cat "$root/requirements.lock" "$root/pyproject.toml" "$0" | sha256sum | cut -c1-16)
  kept=$AGENT_LIBS/$minor-$machine-$wanted
fi
if [ -n "${AGENT_LIBS:-}" ] && [ -d "$kept" ]; then
  mkdir -p "$(dirname "$lib")"
  cp -R "$kept" "$lib"
else
  "$uv" pip compile -q --no-header --no-annotate --python "$python" --extra agent \
    -c "$root/requirements.lock" "$root/pyproject.toml" -o "$work/names"
  awk 'NR == FNR { split($1, name, "=="); wanted[name[1]] = 1; next }
    /^[^ ]/ { split($1, name, "=="); on = name[1] in wanted } on' \
    "$work/names" "$root/requirements.lock" >"$work/agent.lock"
  "$uv" pip install -q --python "$python" --target "$lib" --only-binary :all: --require-hashes \
    --link-mode copy -r "$work/agent.lock"
  find "$lib" -name __pycache__ -prune -exec rm -rf {} +
  rm -rf "$lib/bin" "$lib/.lock"
  # Installers leave where and when they worked.
  find "$lib" -name direct_url.json -delete -o -name uv_cache.json -delete -o -name REQUESTED -delete
  for record in "$lib"/*.dist-info/RECORD; do
    LC_ALL=C sort "$record" | grep -v -e direct_url.json -e uv_cache.json -e REQUESTED -e '^\.\./' >"$work/record" || true
    cp "$work/record" "$record"
  done
  if [ -n "${AGENT_LIBS:-}" ]; then
    mkdir -p "$AGENT_LIBS"
    cp -R "$lib" "$kept.$$"
    mv -T "$kept.$$" "$kept" 2>/dev/null || rm -rf "$kept.$$"
  fi
fi

# Ours: the two packages that a device runs, and what `importlib.metadata` reads the version from.
cp -R "$root/agent" "$root/contract" "$lib/"
mkdir "$lib/headland-$version.dist-info"
printf 'Metadata-Version: 2.1\nName: headland\nVersion: %s\n' "$version" >"$lib/headland-$version.dist-info/METADATA"
find "$lib" -name __pycache__ -prune -exec rm -rf {} +
chmod -R u=rwX,go=rX "$lib"

# What the tree is: its digest names it, and the launcher tells by it that the package was replaced.
digest=$(cd "$lib" && find . -type f -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum | cut -d' ' -f1)
state=$(sed -n 's/^STATE_FORMAT: Final = \([0-9]*\)$/\1/p' "$root/contract/agent_release.py")
printf '{"digest": "sha256:%s", "machine": "%s", "python": "%s", "state": %s, "version": "%s"}\n' \
  "$digest" "$machine" "$minor" "$state" "$version" >"$lib/release.json"
chmod 644 "$lib/release.json"
