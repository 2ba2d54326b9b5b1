"""Hostile archives change nothing outside the folder that they are unpacked into."""

import gzip
import io
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.artifacts.errors import LayerRefusedError
from agent.artifacts.unpack import unpack
from contract.digests import sha256
from tests.artifacts.registry import make_tar, tree


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    return made


def archive(*members: tarfile.TarInfo) -> bytes:
    """Return a tar of these; a regular file holds the word ``evil``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for one in members:
            if one.isreg():
                one.size = 4
            tar.addfile(one, io.BytesIO(b"evil") if one.isreg() else None)
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
    "whiteout": lambda _: archive(member("d/.wh.f")),
    "file as folder": lambda _: archive(member("f"), member("f/g")),
}
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


@pytest.mark.parametrize("packed", [False, True])
def test_a_plain_layer_comes_out_whole_with_its_diff_id(packed: bool, tmp_path: Path) -> None:
    plain = archive(
        member("bin", tarfile.DIRTYPE, mode=0o7777),
        member("bin/setuid", mode=0o6755),
        member("bin/hard", LINK, "bin/setuid"),
        member("lib", SYM, "/usr/lib"),
        member("made/for/it"),
        member("n" * 150 + "/" + "m" * 150),
    )
    (tmp_path / "layer").write_bytes(gzip.compress(plain) if packed else plain)
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
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
except LayerRefusedError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
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
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(layer), str(target)], capture_output=True, text=True, check=True
    )
    grown_kib, _, reason = done.stdout.partition(" ")
    assert "header is larger" in reason
    assert int(grown_kib) < 64 * 1024


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
