"""Hostile archives, made here: each is (the rule it breaks, its bytes), built for a sandbox folder.

``outside`` is a folder beside the target that holds a file ``kept``; nothing may change in it.
"""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

MIB = 1024**2
SYM, LINK, FOLDER = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
Build = Callable[[Path], bytes]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    return made


def pax(**headers: str) -> tarfile.TarInfo:
    """Return a file with extended headers; ``__`` in a key stands for a full stop."""
    made = member("f")
    made.pax_headers = {key.replace("__", "."): value for key, value in headers.items()}
    return made


def tar(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT, content: bytes = b"evil") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for one in members:
            one.size = len(content) if one.isreg() else 0
            archive.addfile(one, io.BytesIO(content) if one.isreg() else None)
    return buffer.getvalue()


def global_tar(**headers: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", pax_headers=headers) as archive:
        one = member("f")
        one.size = 4
        archive.addfile(one, io.BytesIO(b"evil"))
    return buffer.getvalue()


def claimed(size: int, name: str = "f", kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a tar whose one header claims a size, with 4 bytes behind it."""
    one = member(name, kind)
    one.size = size
    return one.tobuf(tarfile.GNU_FORMAT) + b"evil".ljust(512, b"\0") + bytes(1024)


def chain() -> Iterable[tarfile.TarInfo]:
    """Yield a chain of links whose resolved path is longer than PATH_MAX (as in CVE-2025-4517)."""
    deep, path = "d" * 100, ""
    for step in "abcdefghijklmnop":
        yield member(path + deep, FOLDER, mode=0o755)
        yield member(path + step, SYM, deep)
        path += f"{step}/"
    yield member(path + "l" * 100, SYM, "../" * 16)
    yield member("escape", SYM, path + "l" * 100 + "/../outside")
    yield member("escape/escaped")


def zipped(
    *entries: tuple[str, bytes], mode: int = stat.S_IFREG | 0o644, method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, method
            archive.writestr(info, content)
    return buffer.getvalue()


def overlapping() -> bytes:
    """Return a zip whose directory names one and the same entry many times."""
    data = zipped(("aaaa", b"x" * 100_000))
    at = data.index(b"PK\x01\x02")
    directory, end = data[at : data.index(b"PK\x05\x06")], data[data.index(b"PK\x05\x06") :]
    many = b"".join(directory.replace(b"aaaa", f"{n:04d}".encode()) for n in range(500))
    return data[:at] + many + end[:8] + struct.pack("<HHII", 500, 500, len(many), at) + end[20:]


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def flagged() -> bytes:
    """Return a zip whose entry says that it is encrypted."""
    data = bytearray(zipped(("f", b"evil")))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def lying_zip() -> bytes:
    """Return a zip whose entry claims 4 bytes and holds 8 MiB."""
    data = bytearray(zipped(("f", bytes(8 * MIB))))
    data[22:26] = struct.pack("<I", 4)
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 4)
    return bytes(data)


def gzip_bomb(size: int = 512 * MIB) -> bytes:
    """Return a gzip-compressed tar with one file of zeros, made without holding them."""
    one = member("bomb")
    one.size = size
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as file:
        file.write(one.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size // MIB):
            file.write(bytes(MIB))
    return buffer.getvalue()


def claiming(size_bytes: int) -> bytes:
    """Return a tar with the header of a file, and nothing of it."""
    one = member("f")
    one.size = size_bytes
    return one.tobuf()


def sparse() -> bytes:
    one = member("f", tarfile.GNUTYPE_SPARSE)
    return one.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def many(count: int) -> bytes:
    return gzip.compress(tar(*(member(f"f{n}") for n in range(count)), content=b""), 1)


def long_names(count: int) -> bytes:
    """Return a chain of extended headers, each of which speaks for the next."""
    one = member("@LongLink", tarfile.GNUTYPE_LONGNAME)
    one.size = 2
    return (one.tobuf(tarfile.GNU_FORMAT) + b"a\0".ljust(512, b"\0")) * count + tar(member("f"))


GNU = tarfile.GNU_FORMAT
TARS: dict[str, tuple[str, Build]] = {
    "parent": ("leads-out", lambda _: tar(member("../outside/escaped"))),
    "deep parent": ("leads-out", lambda _: tar(member("a/b/../../../outside/escaped"))),
    "dots in the middle": ("leads-out", lambda _: tar(member("a/../b"))),
    "absolute": ("absolute-name", lambda out: tar(member(f"{out}/escaped"))),
    "doubled slash": ("absolute-name", lambda out: tar(member(f"/{out}/escaped"))),
    "drive": ("absolute-name", lambda _: tar(member("C:evil"))),
    "backslashes": ("bad-letter", lambda _: tar(member("a\\..\\..\\evil"))),
    "control letters": ("bad-letter", lambda _: tar(member("a\x1b[2J"))),
    "right to left": ("bad-letter", lambda _: tar(member("a\u202egnp.exe"))),
    "not utf-8": ("damaged", lambda _: patched(tar(member("abcd"), form=GNU), b"abcd", b"a\xff\xfed")[:1024]),
    "write through a link": ("link", lambda out: tar(member("l", SYM, str(out)), member("l/escaped"))),
    "write through a relative link": ("link", lambda _: tar(member("l", SYM, "../outside"),
                                                            member("l/escaped"))),
    "write over a link": ("link", lambda out: tar(member("l", SYM, f"{out}/kept"), member("l"))),
    "folder through a link": ("link", lambda out: tar(member("l", SYM, str(out)), member("l/d", FOLDER))),
    "link chain": ("link", lambda _: tar(member("d", FOLDER, mode=0o755), member("d/a", SYM, "../.."),
                                         member("d/a/outside/escaped"))),
    "chain beyond PATH_MAX": ("link", lambda _: tar(*chain())),
    "link inside": ("link", lambda _: tar(member("f"), member("l", SYM, "f"))),
    "link to itself": ("link", lambda _: tar(member("l", SYM, "l"))),
    "hard link out": ("link", lambda out: tar(member("h", LINK, f"{out}/kept"), member("h"))),
    "hard link up": ("link", lambda _: tar(member("h", LINK, "../outside/kept"))),
    "hard link inside": ("link", lambda _: tar(member("f"), member("h", LINK, "f"))),
    "character device": ("special", lambda _: tar(member("c", tarfile.CHRTYPE))),
    "block device": ("special", lambda _: tar(member("b", tarfile.BLKTYPE))),
    "fifo": ("special", lambda _: tar(member("f", tarfile.FIFOTYPE))),
    "contiguous file": ("special", lambda _: tar(member("f", tarfile.CONTTYPE))),
    "unknown type": ("special", lambda _: tar(member("f", b"Z"))),
    "set user id": ("set-id", lambda _: tar(member("f", mode=0o4755))),
    "set group id": ("set-id", lambda _: tar(member("f", mode=0o2755))),
    "sparse": ("sparse", lambda _: sparse()),
    "sparse by pax": ("damaged", lambda _: tar(pax(GNU__sparse__major="1", GNU__sparse__minor="0",
                                                    GNU__sparse__realsize=str(1 << 40)))),
    "sparse map": ("sparse", lambda _: tar(pax(GNU__sparse__size=str(1 << 40)))),
    "global path": ("global-header", lambda _: global_tar(path="../outside/escaped")),
    "pax path out": ("leads-out", lambda _: tar(pax(path="../outside/escaped"))),
    "twice": ("twice", lambda _: tar(member("f"), member("f"))),
    "twice, written otherwise": ("twice", lambda _: tar(member("f"), member("./f"))),
    "case": ("case-clash", lambda _: tar(member("Model.onnx"), member("model.onnx"))),
    "case of a folder": ("case-clash", lambda _: tar(member("A/x"), member("a/y"))),
    "two forms of one letter": ("case-clash", lambda _: tar(member("\u00e9"), member("e\u0301"))),
    "file as folder": ("file-as-folder", lambda _: tar(member("f"), member("f/g"))),
    "folder as file": ("file-as-folder", lambda _: tar(member("f/g"), member("f"))),
    "file of the root": ("no-name", lambda _: tar(member("."))),
    "deep": ("too-deep", lambda _: tar(member("/".join("d" * 40)))),
    "long part": ("long-name", lambda _: tar(member("n" * 250))),
    "long path": ("long-name", lambda _: tar(member("/".join(["n" * 190] * 6)))),
    "long header": ("long-header", lambda _: tar(pax(comment="c" * 100_000))),
    "headers without end": ("damaged", lambda _: long_names(3000)),
    "many": ("many-entries", lambda _: many(2_001)),
    "claims much": ("large-file", lambda _: claimed(1 << 40)),
    "claims less than nothing": ("damaged", lambda _: claimed(-1)),
    "header claims less than nothing": ("damaged", lambda _: claimed(-512, kind=tarfile.XHDTYPE)),
    "cut off in a file": ("damaged", lambda _: tar(member("f"), content=b"x" * 9000)[:4096]),
    "cut off before the end": ("damaged", lambda _: tar(member("f"))[:1024]),
    "damaged second header": ("damaged", lambda _: patched(tar(member("f"), member("g"), form=GNU),
                                                            b"g\0\0", b"h\0\0")),
    "bomb": ("bomb", lambda _: gzip_bomb()),
    "bomb in a header": ("bomb", lambda _: gzip.compress(claiming(512 * MIB))),
    "bomb behind the end": ("bomb", lambda _: gzip.compress(tar(member("f")) + bytes(64 * MIB), 1)),
    "gzip cut off": ("damaged", lambda _: gzip.compress(tar(member("f")))[:-9]),
    "gzip of no tar": ("damaged", lambda _: gzip.compress(b"hello" * 400)),
}  # fmt: skip

ZIPS: dict[str, tuple[str, Build]] = {
    "zip parent": ("leads-out", lambda _: zipped(("../outside/escaped", b"evil"))),
    "zip absolute": ("absolute-name", lambda out: zipped((f"{out}/escaped", b"evil"))),
    "zip backslash": ("bad-letter", lambda _: zipped(("..\\evil", b"evil"))),
    "zip zero byte": ("bad-letter", lambda _: patched(zipped(("abcd", b"evil")), b"abcd", b"ab\0d")),
    "zip link": ("link", lambda out: zipped(("l", str(out).encode()), mode=stat.S_IFLNK | 0o777)),
    "zip fifo": ("special", lambda _: zipped(("f", b""), mode=stat.S_IFIFO | 0o644)),
    "zip device": ("special", lambda _: zipped(("f", b""), mode=stat.S_IFCHR | 0o644)),
    "zip set user id": ("set-id", lambda _: zipped(("f", b"x"), mode=stat.S_IFREG | 0o4755)),
    "zip twice": ("twice", lambda _: zipped(("f", b"1"), ("./f", b"2"))),
    "zip case": ("case-clash", lambda _: zipped(("f", b"1"), ("F", b"2"))),
    "zip bomb": ("bomb", lambda _: zipped(("f", bytes(64 * MIB)))),
    "zip bomb of overlaps": ("overlap", lambda _: overlapping()),
    "zip that lies": ("damaged", lambda _: lying_zip()),
    "zip encrypted": ("encrypted", lambda _: flagged()),
    "zip with lzma": ("method", lambda _: zipped(("f", b"x"), method=zipfile.ZIP_LZMA)),
    "zip behind a program": ("bytes-before", lambda _: b"PK\x03\x04" + bytes(996) + zipped(("f", b"x"))),
    "zip many": ("many-entries", lambda _: zipped(*((f"f{n}", b"") for n in range(2_001)))),
    "zip cut off": ("damaged", lambda _: zipped(("f", b"x" * 1000))[:-30]),
    "zip flipped": ("damaged", lambda _: patched(zipped(("f", b"evil"), method=0), b"evil", b"good")),
    "zip folder with content": ("no-name", lambda _: zipped(("d/", b"x" * 100))),
    "no archive": ("format", lambda _: b"hello"),
    "empty": ("format", lambda _: b""),
    "other compression": ("format", lambda _: b"\x28\xb5\x2f\xfd" + bytes(100)),
}  # fmt: skip

CORPUS = TARS | ZIPS
ESCAPES = {
    "parent", "absolute", "doubled slash", "write through a link",
    "write through a relative link", "write over a link", "folder through a link", "link chain",
    "chain beyond PATH_MAX", "hard link out", "global path", "pax path out",
}  # fmt: skip
"""Those by which a naive extraction changes something outside."""
