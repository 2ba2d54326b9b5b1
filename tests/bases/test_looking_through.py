"""What is found in the layers of a base, by the confined child that reads them."""

import gzip
import sys
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.images.bases.errors import BaseRefusedError, BaseUnfitError
from cloud_hub.images.bases.inspection import look_through
from cloud_hub.images.bases.ports import BasePython
from tests.bases.pictures import PLATFORM, Files, Item, digest_of, layer_tar, python_layers, this_python

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ENV = ["PATH=/opt/none:/usr/local/bin:/usr/bin"]


def looked(
    folder: Path, layers: list[Files], env: list[str] | None = None, pack: Any = gzip.compress
) -> BasePython:
    files = []
    for number, layer in enumerate(layers):
        (folder / str(number)).write_bytes(pack(layer_tar(layer)))
        files.append(folder / str(number))
    diff_ids, python = look_through(files, ENV if env is None else env, PLATFORM, where="base")
    assert diff_ids == [digest_of(layer_tar(layer)) for layer in layers]
    return python


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, bytes])
def test_a_python_is_found_by_the_images_path(tmp_path: Path, pack: Any) -> None:
    found = looked(tmp_path, python_layers(12), pack=pack)
    assert (found.path, found.version, found.cache_tag) == (
        "/usr/local/bin/python3.12",
        "3.12",
        "cpython-312",
    )
    assert found.libc == "glibc"
    assert found.libc_version.startswith("2.")


def test_links_lead_to_the_program_and_not_out_of_the_image(tmp_path: Path) -> None:
    layers = python_layers(11, "usr")
    layers.append({"opt/venv/bin/python3": Item(link="/usr/bin/../../../../../usr/bin/python3")})
    assert looked(tmp_path, layers, ["PATH=/opt/venv/bin"]).path == "/usr/bin/python3.11"


def test_links_that_go_round_end(tmp_path: Path) -> None:
    layers = [
        *python_layers(11),
        {"usr/local/bin/python3": Item(link="python"), "usr/local/bin/python": Item(link="python3")},
    ]
    with pytest.raises(BaseUnfitError, match="no Python"):
        looked(tmp_path, layers)


def test_a_hard_link_is_the_program(tmp_path: Path) -> None:
    layers = [*python_layers(11), {"usr/local/bin/python3": Item(same_as="usr/local/bin/python3.11")}]
    assert looked(tmp_path, layers).path == "/usr/local/bin/python3"


WHITEOUTS: dict[str, Files] = {
    "of the program": {"usr/local/bin/.wh.python3.11": Item()},
    "of its folder": {"usr/.wh.local": Item()},
    "of all in its folder": {"usr/local/bin/.wh..wh..opq": Item()},
    "by a file in place of the folder": {"usr/local": Item(b"x")},
    "by a folder in place of the program": {"usr/local/bin/python3.11": Item(folder=True)},
}


@pytest.mark.parametrize("name", WHITEOUTS)
def test_what_a_later_layer_takes_away_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(BaseUnfitError, match="no Python"):
        looked(tmp_path, [*python_layers(11), WHITEOUTS[name]])


def test_an_opaque_whiteout_spares_its_own_layer(tmp_path: Path) -> None:
    """Whichever of the two stands first in the layer."""
    system, python = python_layers(12)
    assert looked(tmp_path, [system, *python_layers(11)[1:], {**python, "usr/local/.wh..wh..opq": Item()}])
    last: Files = {"usr/local/.wh..wh..opq": Item(), **python}
    assert looked(tmp_path, [system, *python_layers(11)[1:], last]).version == "3.12"


def test_an_old_python_is_told_with_its_version(tmp_path: Path) -> None:
    with pytest.raises(
        BaseUnfitError, match=r"its Python is 3\.9, and the scoring server needs 3\.11"
    ) as caught:
        looked(tmp_path, python_layers(9))
    assert caught.value.where == "base"
    assert "python:3.12-slim" in caught.value.fix


def _with(path: str, item: Item) -> list[Files]:
    return [*python_layers(11), {path: item}]


def _machine(number: int) -> Item:
    program = bytearray(this_python()[0])
    program[18:20] = number.to_bytes(2, "little")
    return Item(bytes(program))


def _musl() -> Item:
    program, _, loader = this_python()
    return Item(program.replace(loader.encode(), b"/lib/ld-musl-x.so.1".ljust(len(loader), b"\0")))


UNFIT: dict[str, tuple[list[Files], str]] = {
    "another machine": (_with("usr/local/bin/python3.11", _machine(8)), "not made for linux/"),
    "musl": (_with("usr/local/bin/python3.11", _musl()), "C library is musl"),
    "a script": (_with("usr/local/bin/python3.11", Item(b"#!/bin/sh\n")), "not a program but a script"),
    "not executable": (_with("usr/local/bin/python3.11", Item(this_python()[0], 0o644)), "may not be run"),
    "no library": (_with("usr/local/lib/python3.11/.wh.os.py", Item()), "no standard library"),
    "another Python": (
        [
            *_with("usr/local/bin/pypy3.11", Item(this_python()[0])),
            {"usr/local/bin/python3": Item(link="pypy3.11")},
        ],
        "not CPython",
    ),
    "nothing": ([{"etc/x": Item(b"x")}], "no Python"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_base_that_cannot_run_the_server_says_why(tmp_path: Path, name: str) -> None:
    layers, reason = UNFIT[name]
    with pytest.raises(BaseUnfitError, match=reason):
        looked(tmp_path, layers)


DAMAGED = {
    "cut off": lambda data: gzip.compress(data)[:-100],
    "not a tar": lambda _: gzip.compress(b"\xff" * 4096),
    "a bomb": lambda data: gzip.compress(data[:512] + bytes(40 * 1024**2)),
    "half a header": lambda data: data[:700],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_layer_is_refused_by_its_number(tmp_path: Path, name: str) -> None:
    with pytest.raises(BaseRefusedError, match="its layer 1 is refused"):
        looked(tmp_path, python_layers(11), pack=DAMAGED[name])


@pytest.mark.parametrize("said", [b"\0003.2.0\0003.12.7\0", b"/opt/3.12.7\0EXE\0"])
def test_the_last_part_of_a_version_is_what_the_program_says(tmp_path: Path, said: bytes) -> None:
    layers = [*python_layers(12), {"usr/local/lib/libpython3.12.so.1.0": Item(said)}]
    assert looked(tmp_path, layers).full_version == "3.12.7"
