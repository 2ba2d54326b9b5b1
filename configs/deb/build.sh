#!/bin/sh
# Builds the agent's Debian package for this machine's architecture and the given Python, the same bytes for the
# same sources: make deb. Usage: configs/deb/build.sh FOLDER_FOR_THE_PACKAGE
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
python=${DEB_PYTHON:-/usr/bin/python3}
uv=${UV:-$root/.venv/bin/uv}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/pyproject.toml")
architecture=$(dpkg --print-architecture)
minor=$("$python" -c 'import sys; print(sys.version_info.minor)')
tree=$work/tree
lib=$tree/opt/headland-agent/lib

# What a device installs, at the locked versions and digests; wheels alone, so nothing of others runs here.
"$uv" pip compile -q --no-header --no-annotate --python "$python" --extra agent \
  -c "$root/requirements.lock" "$root/pyproject.toml" -o "$work/names"
awk 'NR == FNR { split($1, name, "=="); wanted[name[1]] = 1; next }
  /^[^ ]/ { split($1, name, "=="); on = name[1] in wanted } on' \
  "$work/names" "$root/requirements.lock" >"$work/agent.lock"
"$uv" pip install -q --python "$python" --target "$lib" --only-binary :all: --require-hashes \
  --link-mode copy -r "$work/agent.lock"
# Ours: the two packages that a device runs, and what `importlib.metadata` reads the version from.
cp -R "$root/agent" "$root/contract" "$lib/"
mkdir "$lib/headland-$version.dist-info"
printf 'Metadata-Version: 2.1\nName: headland\nVersion: %s\n' "$version" >"$lib/headland-$version.dist-info/METADATA"
find "$lib" -name __pycache__ -prune -exec rm -rf {} +
rm -rf "$lib/bin" "$lib/.lock"
# Installers leave where and when they worked.
find "$lib" -name direct_url.json -delete -o -name uv_cache.json -delete -o -name REQUESTED -delete
for record in "$lib"/*.dist-info/RECORD; do
  LC_ALL=C sort "$record" | grep -v -e direct_url.json -e uv_cache.json -e REQUESTED -e '^\.\./' >"$work/record" || true
  cp "$work/record" "$record"
done

install -D -m 755 "$root/configs/deb/headland-agent" "$tree/opt/headland-agent/bin/headland-agent"
mkdir -p "$tree/usr/bin"
ln -s ../../opt/headland-agent/bin/headland-agent "$tree/usr/bin/headland-agent"
install -D -m 644 "$root/configs/headland-agent.service" "$tree/usr/lib/systemd/system/headland-agent.service"
install -D -m 644 "$root/configs/agent.toml" "$tree/etc/headland/agent.toml"
install -D -m 644 "$root/LICENSE" "$tree/usr/share/doc/headland-agent/copyright"

mkdir "$tree/DEBIAN"
size_kib=$(find "$tree" -type f -printf '%s\n' | awk '{ size += $1 } END { print int(size / 1024) + 1 }')
cat >"$tree/DEBIAN/control" <<CONTROL
Package: headland-agent
Version: $version
Architecture: $architecture
Maintainer: Headland
Installed-Size: $size_kib
Depends: python3 (>= 3.$minor), python3 (<< 3.$((minor + 1)))
Recommends: runc
Section: misc
Priority: optional
Description: runs signed scoring containers on an edge device
 The device's half of Headland: pulls images that the hub signed, runs them
 with runc or as plain processes, and sends what they measure to the hub.
CONTROL
echo /etc/headland/agent.toml >"$tree/DEBIAN/conffiles"
install -m 755 "$root/configs/deb/postinst" "$root/configs/deb/prerm" "$root/configs/deb/postrm" "$tree/DEBIAN/"
(cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' md5sum) >"$work/md5sums"
install -m 644 "$work/md5sums" "$tree/DEBIAN/md5sums"

chmod -R u=rwX,go=rX "$tree"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1577836800}
export SOURCE_DATE_EPOCH
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=$out/headland-agent_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$tree" "$package" >/dev/null
echo "$package"
