"""A layer's tar, made again from its folder and its recipe: to the byte, or not at all."""

import io
import os
import random
import tarfile
from pathlib import Path

import pytest
from backports import zstd

from agent.artifacts import recipe as recipes
from agent.artifacts.errors import LayerRefusedError, RecipeUnusableError
from agent.artifacts.recipe import RecipeWriter, layer_tar
from agent.artifacts.unpack import unpack_tar
from contract.digests import sha256
from tests.deltas.layers import tar_of

NOISE = random.Random(1).randbytes(700_000)


def formats() -> dict[str, bytes]:
    """Return tars of every kind that comes to a device."""
    long = "d/" * 60 + "x" * 120
    files = {"d/": b"", "d/a": b"a", "empty": b"", "noise": NOISE, long: b"long" * 200, "ü": b"name"}
    found = {"plain": tar_of(files, **{"d/link": "../noise"}), "nothing": tar_of({})}
    for name, kind in (("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
            for path, data in files.items():
                member = tarfile.TarInfo(path)
                member.size, member.mtime, member.uname = len(data), 1_700_000_000, "somebody"
                member.pax_headers = {"comment": "c" * 900}
                member.type = tarfile.DIRTYPE if path.endswith("/") else tarfile.REGTYPE
                tar.addfile(member, io.BytesIO(data))
            hard = tarfile.TarInfo("hard")
            hard.type, hard.linkname = tarfile.LNKTYPE, "noise"
            tar.addfile(hard)
        found[name] = buffer.getvalue()
    found["much behind the end"] = found["plain"] + bytes(900_000) + b"and more"
    found["only folders"] = tar_of({f"{number}/": b"" for number in range(2000)})
    return found


FORMATS = formats()


def unpacked(tar: bytes, folder: Path) -> tuple[Path, Path, bool]:
    """Unpack a tar; return the layer's folder, its recipe, and whether that is of use."""
    layer, recipe = folder / "layer", folder / "recipe"
    layer.mkdir()
    with recipe.open("wb") as file:
        writer = RecipeWriter(file)
        assert unpack_tar(io.BytesIO(tar), layer, recipe=writer) == sha256(tar)
        usable = writer.finish()
    return layer, recipe, usable


@pytest.mark.parametrize("name", FORMATS)
def test_the_tar_is_made_again_to_the_byte(name: str, tmp_path: Path) -> None:
    tar = FORMATS[name]
    layer, recipe, usable = unpacked(tar, tmp_path)
    assert usable
    with layer_tar(layer, recipe, tmp_path) as again:
        assert again.size_bytes == len(tar)
        assert sha256(b"".join(again.pieces())) == sha256(tar)
        places = random.Random(2)
        for _ in range(200):
            at = places.randrange(len(tar) + 1)
            size = places.randrange(5000)
            assert again.read(at, size) == tar[at : at + size]


def test_a_recipe_is_small(tmp_path: Path) -> None:
    tar = FORMATS["plain"]
    _, recipe, _ = unpacked(tar, tmp_path)
    assert recipe.stat().st_size < 1000 < len(tar)


def test_a_file_that_changed_its_bytes_gives_another_digest(tmp_path: Path) -> None:
    layer, recipe, _ = unpacked(FORMATS["plain"], tmp_path)
    (layer / "d/a").write_bytes(b"b")
    with layer_tar(layer, recipe, tmp_path) as again:
        assert sha256(b"".join(again.pieces())) != sha256(FORMATS["plain"])


@pytest.mark.parametrize("what", ["longer", "gone", "link", "pipe", "folder is a link"])
def test_a_file_that_is_another_is_refused(what: str, tmp_path: Path) -> None:
    layer, recipe, _ = unpacked(FORMATS["plain"], tmp_path)
    file = layer / "d/a"
    if what == "longer":
        file.write_bytes(b"ab")
    elif what == "folder is a link":
        (layer / "d").rename(tmp_path / "elsewhere")
        (layer / "d").symlink_to(tmp_path / "elsewhere")
    else:
        file.unlink()
        if what == "link":
            (tmp_path / "secret").write_bytes(b"s")
            file.symlink_to(tmp_path / "secret")
        if what == "pipe":
            os.mkfifo(file)
    with layer_tar(layer, recipe, tmp_path) as again, pytest.raises(RecipeUnusableError):
        list(again.pieces())


def test_a_recipe_that_is_damaged_or_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    layer, recipe, _ = unpacked(FORMATS["plain"], tmp_path)
    whole = recipe.read_bytes()
    for data in (b"", b"nonsense", whole[:-20], zstd.compress(b"other 1\n")):
        recipe.write_bytes(data)
        with pytest.raises(RecipeUnusableError), layer_tar(layer, recipe, tmp_path):
            pass
    (tmp_path / "secret").write_bytes(b"secret")
    record = bytes(8) + (9).to_bytes(4, "little") + b"../secret" + (6).to_bytes(8, "little") + bytes(20)
    recipe.write_bytes(zstd.compress(recipes.MAGIC + record))
    with layer_tar(layer, recipe, tmp_path) as again, pytest.raises(RecipeUnusableError):
        again.read(0, 6)


def test_what_is_mostly_headers_has_no_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "MAX_LITERAL_BYTES", 50_000)
    assert unpacked(FORMATS["only folders"], tmp_path)[2] is False


def test_a_layer_that_is_refused_is_refused_with_a_recipe_too(tmp_path: Path) -> None:
    with pytest.raises(LayerRefusedError):
        unpacked(tar_of({"../out": b"x"}), tmp_path)
