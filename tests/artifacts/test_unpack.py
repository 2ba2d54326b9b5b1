"""Hostile archives change nothing outside the folder that they are unpacked into."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from backports import zstd

from agent.artifacts.errors import LayerRefusedError
from agent.artifacts.unpack import unpack
from agent.layers import has_whiteouts
from contract.digests import sha256
from tests.archives.corpus import TARS
from tests.artifacts.registry import make_tar, tree

EMPTY = "HEADLAND.empty"


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    return made


def hiding(name: str) -> tarfile.TarInfo:
    """Return an empty regular file, as a whiteout is."""
    made = member(name)
    made.pax_headers = {EMPTY: "1"}
    return made


def archive(*members: tarfile.TarInfo) -> bytes:
    """Return a tar of these; a regular file holds the word ``evil``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for one in members:
            content = b"evil" if one.isreg() and EMPTY not in one.pax_headers else b""
            one.size = len(content)
            tar.addfile(one, io.BytesIO(content))
    return buffer.getvalue()


SYM, LINK = tarfile.SYMTYPE, tarfile.LNKTYPE
CORPUS: dict[str, Callable[[Path], bytes]] = {
    "parent": lambda _: archive(member("../outside/escaped")),
    "deep parent": lambda _: archive(member("a/b/../../../outside/escaped")),
    "absolute": lambda out: archive(member(f"{out}/escaped")),
    "write through a link": lambda out: archive(member("l", SYM, str(out)), member("l/escaped")),
    "write through a relative link": lambda _: archive(member("l", SYM, "../outside"), member("l/escaped")),
    "write over a link": lambda out: archive(member("l", SYM, f"{out}/kept"), member("l")),
    "folder through a link": lambda out: archive(
        member("l", SYM, str(out)), member("l/d", tarfile.DIRTYPE, mode=0o755)
    ),
    "link chain": lambda _: archive(
        member("d", tarfile.DIRTYPE, mode=0o755), member("d/a", SYM, "../.."), member("d/a/outside/escaped")
    ),
    "hard link out": lambda out: archive(member("h", LINK, f"{out}/kept")),
    "hard link up": lambda _: archive(member("h", LINK, "../outside/kept")),
    "hard link through a link": lambda out: archive(member("l", SYM, str(out)), member("h", LINK, "l/kept")),
    "hard link to a link": lambda out: archive(
        member("l", SYM, f"{out}/kept"), member("h", LINK, "l"), member("h")
    ),
    "hard link to nothing": lambda _: archive(member("h", LINK, "nothing")),
    "character device": lambda _: archive(member("c", tarfile.CHRTYPE)),
    "block device": lambda _: archive(member("b", tarfile.BLKTYPE)),
    "fifo": lambda _: archive(member("f", tarfile.FIFOTYPE)),
    "twice": lambda _: archive(member("f"), member("f")),
    "twice, written otherwise": lambda _: archive(member("f"), member("./f")),
    "whiteout that is a folder": lambda _: archive(member("d/.wh.f", tarfile.DIRTYPE)),
    "whiteout with content": lambda _: archive(member("d/.wh.f")),
    "whiteout of the folder itself": lambda _: archive(hiding("d/.wh..")),
    "whiteout of the folder above": lambda _: archive(hiding("d/.wh...")),
    "whiteout of nothing": lambda _: archive(hiding("d/.wh.")),
    "whiteout of another driver": lambda _: archive(hiding(".wh..wh.plnk")),
    "whiteout that leads out": lambda _: archive(hiding("../outside/.wh.kept")),
    "file as folder": lambda _: archive(member("f"), member("f/g")),
}
ARCHIVES = {name: archive for name, archive in TARS.items() if name not in CORPUS}
MAX_BYTES = 64 * 1024**2
HARMLESS = {
    # Names that are odd, and stay inside; links that lead nowhere else; set-id bits, which are dropped.
    "drive", "backslashes", "control letters", "right to left", "long part", "long path", "deep",
    "file of the root", "case", "case of a folder", "two forms of one letter", "link inside",
    "link to itself", "hard link inside",
    "contiguous file", "set user id", "set group id",
    # A tar that ends early or goes on as nonsense: what stands before is unpacked; the diff id is of all.
    "claims less than nothing", "cut off before the end", "damaged second header",
}  # fmt: skip
"""Of those archives, what a layer from elsewhere may hold."""
ESCAPES = {"parent", "write through a link", "write through a relative link", "hard link out"}


def lay_out(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """Return an archive, an empty target and a folder beside it that nothing may touch."""
    target, outside = folder / "target", folder / "outside"
    target.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("kept")
    layer = folder / "layer"
    layer.write_bytes(CORPUS[name](outside))
    return layer, target, outside


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_it_is_refused_and_nothing_outside_changes(name: str, tmp_path: Path) -> None:
    layer, target, outside = lay_out(tmp_path, name)
    before = tree(outside)
    with pytest.raises(LayerRefusedError):
        unpack(layer, target)
    assert tree(outside) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer", "outside", "target"]
    assert all(path.is_symlink() or path.is_file() or path.is_dir() for path in target.rglob("*"))


@pytest.mark.parametrize("name", sorted(ESCAPES))
def test_the_control_a_trusting_extractor_lets_it_out(name: str, tmp_path: Path) -> None:
    layer, target, outside = lay_out(tmp_path, name)
    before = tree(outside)
    with tarfile.open(layer) as tar:
        tar.extraction_filter = lambda one, _: one  # older Pythons have no other way
        tar.extractall(target)
    assert tree(outside) != before


@pytest.mark.parametrize("name", sorted(ARCHIVES))
def test_what_a_person_may_not_upload_changes_nothing_on_a_device_either(name: str, tmp_path: Path) -> None:
    """A layer may hold links and odd names, so not all of it is refused; nothing of it gets out."""
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (outside / "kept").write_text("kept")
    (tmp_path / "layer").write_bytes(ARCHIVES[name][1](outside))
    before = tree(outside)
    with nullcontext() if name in HARMLESS else pytest.raises(LayerRefusedError):
        unpack(tmp_path / "layer", target, max_bytes=MAX_BYTES, max_entries=2000)
    assert tree(outside) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer", "outside", "target"]


@pytest.mark.parametrize("name", ["bomb", "many", "long header", "headers without end"])
def test_a_hostile_layer_takes_little_memory(name: str, tmp_path: Path) -> None:
    layer, target = tmp_path / "layer", tmp_path / "target"
    target.mkdir()
    layer.write_bytes(ARCHIVES[name][1](tmp_path))
    grown_kib, _ = measured(layer, target)
    assert grown_kib < 64 * 1024


def measured(layer: Path, target: Path) -> tuple[int, str]:
    """Return by how many KiB a child grew that unpacked the layer, and why it refused to."""
    command = [sys.executable, "-c", MEASURE, str(layer), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown_kib, _, reason = done.stdout.partition(" ")
    return int(grown_kib), reason


def test_whiteouts_stay_as_files_and_the_layer_says_that_it_has_some(tmp_path: Path) -> None:
    plain = archive(hiding("a/.wh.b"), hiding("c/.wh..wh..opq"), member("c/d"))
    (tmp_path / "layer").write_bytes(plain)
    for name, data in (("with", plain), ("without", archive(member("c/d")))):
        (tmp_path / "layer").write_bytes(data)
        (tmp_path / name).mkdir()
        assert unpack(tmp_path / "layer", tmp_path / name) == sha256(data)
        assert has_whiteouts(tmp_path / name) == (name == "with")
    assert (tmp_path / "with/a/.wh.b").is_file()
    assert (tmp_path / "with/c/.wh..wh..opq").is_file()


def test_a_frame_that_asks_for_much_memory_is_refused(tmp_path: Path) -> None:
    plain = make_tar({"f": os.urandom(100_000)})
    (tmp_path / "target").mkdir()
    (tmp_path / "layer").write_bytes(windowed(plain, 27))
    with pytest.raises(LayerRefusedError, match="no tar"):
        unpack(tmp_path / "layer", tmp_path / "target")
    (tmp_path / "layer").write_bytes(windowed(plain, 25))
    assert unpack(tmp_path / "layer", tmp_path / "target") == sha256(plain)


def windowed(plain: bytes, log: int) -> bytes:
    """Return a zstd frame of unknown size that asks for a window of 2 to the power of ``log`` bytes."""
    options = {int(zstd.CompressionParameter.window_log): log}
    buffer = io.BytesIO()
    with zstd.ZstdFile(buffer, "w", options=options) as file:
        file.write(plain)
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress])
def test_a_plain_layer_comes_out_whole_with_its_diff_id(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    plain = archive(
        member("bin", tarfile.DIRTYPE, mode=0o7777),
        member("bin/setuid", mode=0o6755),
        member("bin/hard", LINK, "bin/setuid"),
        member("lib", SYM, "/usr/lib"),
        member("made/for/it"),
        member("n" * 150 + "/" + "m" * 150),
    )
    (tmp_path / "layer").write_bytes(pack(plain))
    target = tmp_path / "target"
    target.mkdir()
    assert unpack(tmp_path / "layer", target) == sha256(plain)
    assert (target / "bin/setuid").stat().st_mode & 0o7777 == 0o755
    assert (target / "bin").stat().st_mode & 0o7000 == 0
    assert (target / "bin/hard").samefile(target / "bin/setuid")
    assert (target / "lib").readlink() == Path("/usr/lib")
    assert (target / "made/for/it").read_text() == "evil"
    assert (target / ("n" * 150) / ("m" * 150)).is_file()


def test_a_bomb_ends_at_the_bound(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(gzip.compress(make_tar({"zeros": bytes(20_000_000)})))
    (tmp_path / "small").mkdir()
    (tmp_path / "large").mkdir()
    assert (tmp_path / "layer").stat().st_size < 100_000
    with pytest.raises(LayerRefusedError, match="larger"):
        unpack(tmp_path / "layer", tmp_path / "small", max_bytes=1_000_000)
    assert sum(path.stat().st_size for path in (tmp_path / "small").iterdir()) <= 1_000_000
    unpack(tmp_path / "layer", tmp_path / "large")


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(make_tar({str(number): b"" for number in range(20)}))
    for name, entries in (("few", 19), ("enough", 20)):
        (tmp_path / name).mkdir()
        if name == "few":
            with pytest.raises(LayerRefusedError, match="entries"):
                unpack(tmp_path / "layer", tmp_path / name, max_entries=entries)
        else:
            unpack(tmp_path / "layer", tmp_path / name, max_entries=entries)


MEASURE = """
import resource, sys
from pathlib import Path
from agent.artifacts.errors import LayerRefusedError
from agent.artifacts.unpack import unpack
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    unpack(Path(sys.argv[1]), Path(sys.argv[2]), max_bytes=64 * 1024**2, max_entries=2000)
    outcome = "unpacked"
except LayerRefusedError as error:
    outcome = str(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, outcome)
"""


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_wants_much_memory_is_refused_before_it_is_read(kind: bytes, tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 400 * 1024**2
    layer, target = tmp_path / "layer", tmp_path / "target"
    target.mkdir()
    with gzip.open(layer, "wb", compresslevel=1) as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(400):
            file.write(b"\0" * 1024**2)
    grown_kib, reason = measured(layer, target)
    assert "header is larger" in reason
    assert grown_kib < 64 * 1024


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    sparse = tarfile.TarInfo("s")
    sparse.type = tarfile.GNUTYPE_SPARSE
    layer, target = tmp_path / "layer", tmp_path / "target"
    target.mkdir()
    layer.write_bytes(sparse.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)
    with pytest.raises(LayerRefusedError, match="sparse"):
        unpack(layer, target)


def test_sparse_files_by_extended_header_are_refused(tmp_path: Path) -> None:
    made = tarfile.TarInfo("s")
    made.pax_headers = {"GNU.sparse.size": "1000000000000", "GNU.sparse.map": "0,0"}
    layer, target = tmp_path / "layer", tmp_path / "target"
    target.mkdir()
    layer.write_bytes(made.tobuf(tarfile.PAX_FORMAT) + b"\0" * 1024)
    with pytest.raises(LayerRefusedError, match="sparse"):
        unpack(layer, target)


def test_times_are_those_of_the_layer(tmp_path: Path) -> None:
    one = member("f")
    one.mtime = 1_000_000
    layer, target = tmp_path / "layer", tmp_path / "target"
    target.mkdir()
    layer.write_bytes(archive(one))
    unpack(layer, target)
    assert (target / "f").stat().st_mtime == 1_000_000
