"""Wheels are data from elsewhere: what is odd in them is refused, what is right lands in the right place."""

import stat
import struct
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from cloud_hub.images.build import Wheel, WheelRefusedError
from cloud_hub.images.build.layer_tar import digest_of, write_layer
from cloud_hub.images.build.wheel_files import OWN_LAYER_BYTES, in_layers, look_through

SITE = "/opt/headland/site-packages"


def _wheel(
    folder: Path, members: dict[str | zipfile.ZipInfo, bytes], name: str = "part-1-py3-none-any.whl"
) -> Wheel:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return Wheel(name, path, digest_of(path))


def _write(wheel: Wheel, target: Path) -> None:
    with ExitStack() as closing:
        write_layer(look_through(wheel).entries(closing), target, title="wheel")


def test_a_wheel_lands_in_site_packages_without_scripts_headers_and_data(tmp_path: Path) -> None:
    wheel = _wheel(
        tmp_path,
        {
            "part/__init__.py": b"",
            "part-1.dist-info/RECORD": b"part/__init__.py,,\n",
            "part-1.data/purelib/pure.py": b"",
            "part-1.data/platlib/part/fast.so": b"",
            "part-1.data/scripts/part": b"#!python\n",
            "part-1.data/headers/part.h": b"",
            "part-1.data/data/etc/part.conf": b"",
        },
    )
    assert sorted(look_through(wheel).members) == [
        f"{SITE}/part-1.dist-info/RECORD",
        f"{SITE}/part/__init__.py",
        f"{SITE}/part/fast.so",
        f"{SITE}/pure.py",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "../escape.py",
        "part/../../escape.py",
        "/etc/passwd",
        "part//double.py",
        "./part.py",
        "part/./part.py",
        "part\\..\\escape.py",
        "part/line\nbreak.py",
        "part-1.data/purelib/../../../../etc/passwd",
        "..",
    ],
)
def test_a_name_that_is_not_plain_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WheelRefusedError) as caught:
        look_through(_wheel(tmp_path, {name: b"x"}))
    assert "passwd" not in str(caught.value)
    assert "escape" not in str(caught.value)


def test_a_name_cut_by_a_zero_byte_is_refused(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, {"part/aXb.py": b""})
    wheel.path.write_bytes(wheel.path.read_bytes().replace(b"aXb", b"a\0b"))
    with pytest.raises(WheelRefusedError):
        look_through(wheel)


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("part/link.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(WheelRefusedError, match="link"):
        look_through(_wheel(tmp_path, {link: b"/etc/shadow"}))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, {"part/zeros.bin": bytes(2 << 20)})
    assert wheel.path.stat().st_size < 10_000
    with pytest.raises(WheelRefusedError, match="larger than 1048576 bytes"):
        look_through(wheel, limit_bytes=1 << 20)
    assert look_through(wheel, limit_bytes=2 << 20).size_bytes == 2 << 20


def test_a_bomb_that_lies_about_its_size_is_refused_while_it_is_read(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, {"part/zeros.bin": bytes(2 << 20)})
    said = wheel.path.read_bytes().replace(struct.pack("<I", 2 << 20), struct.pack("<I", 1 << 10))
    wheel.path.write_bytes(said)
    assert look_through(wheel).size_bytes == 1 << 10
    with pytest.raises(WheelRefusedError, match="damaged"):
        _write(wheel, tmp_path / "layer")


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, {"part/data.bin": bytes(range(256)) * 64})
    _write(wheel, tmp_path / "whole")
    data = bytearray(wheel.path.read_bytes())
    data[60] ^= 0xFF
    wheel.path.write_bytes(data)
    with pytest.raises(WheelRefusedError, match="damaged"):
        _write(wheel, tmp_path / "layer")


def test_what_is_not_a_zip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.whl"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(WheelRefusedError, match="not a readable zip file"):
        look_through(Wheel("part.whl", path, digest_of(path)))


def test_large_wheels_get_layers_of_their_own_and_small_ones_share(tmp_path: Path) -> None:
    sizes = {"b": OWN_LAYER_BYTES, "d": 10, "a": OWN_LAYER_BYTES + 1, "c": OWN_LAYER_BYTES - 1}
    wheels = [
        look_through(_wheel(tmp_path, {f"{name}.bin": bytes(size)}, f"{name}-1.whl"))
        for name, size in sizes.items()
    ]
    groups = [[files.wheel.filename for files in group] for group in in_layers(wheels)]
    assert groups == [["a-1.whl"], ["b-1.whl"], ["c-1.whl", "d-1.whl"]]


def test_two_wheels_with_the_same_file_are_refused(tmp_path: Path) -> None:
    one = look_through(_wheel(tmp_path, {"same/x.py": b""}, "one.whl"))
    other = look_through(_wheel(tmp_path, {"same/x.py": b""}, "other.whl"))
    with pytest.raises(WheelRefusedError, match=r"one\.whl has too"):
        in_layers([one, other])
