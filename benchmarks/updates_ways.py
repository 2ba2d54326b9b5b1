"""One way to bring an update to a device, in a process of its own.

``python updates_ways.py WAY make|apply OLD NEW DELTA`` prints seconds and the process's peak memory as JSON.
The peers' environment runs bsdiff4 and hdiffpatch, the project's the rest; so imports stand where they are
needed. What is applied must give the new tar.
"""

import gzip
import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

Way = tuple[Callable[[Path, Path, Path], None], Callable[[Path, Path], str]]


def digest(data: bytes) -> str:
    """Return a digest."""
    return hashlib.sha256(data).hexdigest()


def gzip_make(_old: Path, new: Path, delta: Path) -> None:
    delta.write_bytes(gzip.compress(new.read_bytes(), 6))


def gzip_apply(_old: Path, delta: Path) -> str:
    return digest(gzip.decompress(delta.read_bytes()))


def zstd_make(_old: Path, new: Path, delta: Path) -> None:
    from backports import zstd

    delta.write_bytes(zstd.compress(new.read_bytes(), 3))


def zstd_apply(_old: Path, delta: Path) -> str:
    from backports import zstd

    return digest(zstd.decompress(delta.read_bytes()))


def patch_from_make(old: Path, new: Path, delta: Path) -> None:
    """As ``zstd -19 --patch-from``: one window over both files, and tables large enough to index the old one.

    The program sizes its tables by the old file; the library sizes them by the new one's, and then finds
    little of what stands far back.
    """
    from backports import zstd

    before, after = old.read_bytes(), new.read_bytes()
    options = {
        int(zstd.CompressionParameter.compression_level): 19,
        int(zstd.CompressionParameter.window_log): (len(before) + len(after)).bit_length(),
        int(zstd.CompressionParameter.chain_log): 27,
        int(zstd.CompressionParameter.hash_log): 27,
        int(zstd.CompressionParameter.target_length): 4096,
    }
    prefix = zstd.ZstdDict(before, is_raw=True).as_prefix
    delta.write_bytes(zstd.compress(after, options=options, zstd_dict=prefix))


def patch_from_apply(old: Path, delta: Path) -> str:
    from backports import zstd

    options = {int(zstd.DecompressionParameter.window_log_max): 31}
    prefix = zstd.ZstdDict(old.read_bytes(), is_raw=True).as_prefix
    return digest(zstd.decompress(delta.read_bytes(), zstd_dict=prefix, options=options))


def bsdiff_make(old: Path, new: Path, delta: Path) -> None:
    import bsdiff4

    bsdiff4.file_diff(str(old), str(new), str(delta))


def bsdiff_apply(old: Path, delta: Path) -> str:
    import bsdiff4

    return digest(bsdiff4.patch(old.read_bytes(), delta.read_bytes()))


def hdiff_make(old: Path, new: Path, delta: Path) -> None:
    import hdiffpatch

    compression = hdiffpatch.COMPRESSION_ZSTD
    delta.write_bytes(hdiffpatch.diff(old.read_bytes(), new.read_bytes(), compression, validate=False))


def hdiff_apply(old: Path, delta: Path) -> str:
    import hdiffpatch

    return digest(hdiffpatch.apply(old.read_bytes(), delta.read_bytes()))


def headland_make(old: Path, new: Path, delta: Path, *, with_tensors: bool = True) -> None:
    from cloud_hub.images.deltas.making import make_delta
    from contract.delta.container import Header

    told = []
    for path in (old, new):
        with path.open("rb") as file:
            told.append(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
    sizes = [path.stat().st_size for path in (old, new)]
    header = Header(from_diff_id=told[0], to_diff_id=told[1], from_bytes=sizes[0], to_bytes=sizes[1])
    with old.open("rb") as before, new.open("rb") as after, delta.open("wb") as target:
        make_delta(before, after, header, target, with_tensors=with_tensors)


def patch_make(old: Path, new: Path, delta: Path) -> None:
    headland_make(old, new, delta, with_tensors=False)


def headland_apply(old: Path, delta: Path) -> str:
    from contract.delta.applying import pieces
    from contract.delta.container import read_header

    seen = hashlib.sha256()
    with old.open("rb") as before, delta.open("rb") as source:

        def read(at: int, size: int) -> bytes:
            before.seek(at)
            return before.read(size)

        for piece in pieces(source, read_header(source), read):
            seen.update(piece)
    return seen.hexdigest()


WAYS: dict[str, Way] = {
    "layer, gzip 6": (gzip_make, gzip_apply),
    "layer, zstd 3": (zstd_make, zstd_apply),
    "zstd -19 --patch-from": (patch_from_make, patch_from_apply),
    "bsdiff4": (bsdiff_make, bsdiff_apply),
    "hdiffpatch, zstd": (hdiff_make, hdiff_apply),
    "headland, patch alone": (patch_make, headland_apply),
    "headland": (headland_make, headland_apply),
}
OURS = "headland"
OF_PEERS = {"bsdiff4", "hdiffpatch, zstd"}


def peak_mb() -> float:
    """Return this process's peak resident memory."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1]) / 1024


def main() -> None:
    """Do it and say what it took."""
    way, action, old, new, delta = sys.argv[1:]
    make, apply = WAYS[way]
    began_s = time.perf_counter()
    made = ""
    if action == "make":
        make(Path(old), Path(new), Path(delta))
    else:
        made = apply(Path(old), Path(delta))
    took_s, peak = time.perf_counter() - began_s, peak_mb()
    if made and made != digest(Path(new).read_bytes()):
        sys.exit(f"{way}: what was applied is not the new layer")
    sys.stdout.write(json.dumps({"seconds": took_s, "peak_mb": peak}))


if __name__ == "__main__":
    main()
