#!/bin/sh
# Builds the agent's Debian package for this machine's architecture and the given Python, the same bytes for the
# same sources: make deb. Usage: configs/deb/build.sh FOLDER_FOR_THE_PACKAGE
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
python=${DEB_PYTHON:-/usr/bin/python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/pyproject.toml")
architecture=$(dpkg --print-architecture)
minor=$("$python" -c 'import sys; print(sys.version_info.minor)')
tree=$work/tree
lib=$tree/opt/headland-agent/lib

"$root/configs/deb/tree.sh" "$lib"

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
